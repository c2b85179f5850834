import { type Clip, type ClipInfo, listClips, readClip } from "./clips.js";
import { type Method, methods, processClip } from "./methods.js";
import { type Score, score } from "./score.js";
import { estimate, format, markdown, quantile } from "./statistics.js";

/** Options of {@link runDenoise}. */
export interface DenoiseBenchOptions {
  /** The model to score. */
  readonly modelPath: string;
  /** Score every n-th clip of the test set; 1 is all of it. */
  readonly every: number;
  /** Called after each clip. */
  onProgress(done: number, total: number): void;
}

/** Scores of all methods, ready to print and to compare. */
export interface DenoiseBenchResult {
  /** The tables in Markdown. */
  readonly text: string;
  /** The figures of each method, by its name; ours is the last. */
  readonly figures: ReadonlyMap<string, Figures>;
}

interface Row {
  readonly method: Method;
  readonly scores: Score[];
  readonly clean: Score[];
  readonly costUs: number[];
  readonly cpuUs: number[];
}

/** Sends the frozen test set through every method, hop by hop, and scores what comes out. */
export async function runDenoise(options: DenoiseBenchOptions): Promise<DenoiseBenchResult> {
  const infos = (await listClips()).filter((_, i) => i % options.every === 0);
  const rows: Row[] = (await methods(options.modelPath)).map((method) => ({
    method,
    scores: [],
    clean: [],
    costUs: [],
    cpuUs: [],
  }));
  for (const [i, info] of infos.entries()) {
    const clip = await readClip(info);
    for (const row of rows) await scoreClip(row, clip);
    options.onProgress(i + 1, infos.length);
  }
  return { text: tables(rows, infos), figures: new Map(rows.map((row) => [row.method.name, figures(row, infos)])) };
}

async function scoreClip(row: Row, { info, clean, noisy }: Clip): Promise<void> {
  const { output, costUs, cpuUs } = await processClip(row.method, noisy);
  row.scores.push(await score(clean, noisy, output, row.method.highPassed));
  row.costUs.push(...costUs);
  row.cpuUs.push(cpuUs);
  if (!isCleanRow(info)) return;
  const untouched = await processClip(row.method, clean);
  row.clean.push(await score(clean, clean, untouched.output, row.method.highPassed));
}

/** The references of these clips are also sent through as they are: clean in, clean out. */
function isCleanRow({ family, snrDb }: ClipInfo): boolean {
  return snrDb === 15 && (family === "air" || family === "fan" || family === "wind");
}

function select(row: Row, infos: readonly ClipInfo[], wanted: (info: ClipInfo) => boolean): Score[] {
  return row.scores.filter((_, i) => wanted(infos[i]!));
}

function tables(rows: readonly Row[], infos: readonly ClipInfo[]): string {
  const snrs = [...new Set(infos.map((info) => info.snrDb))].sort((a, b) => a - b);
  const families = [...new Set(infos.map((info) => info.family))];
  const columns: [string, (info: ClipInfo) => boolean][] = [
    ["all", () => true],
    ...snrs.map((snr): [string, (info: ClipInfo) => boolean] => [`${snr} dB`, (info) => info.snrDb === snr]),
  ];
  const table = (figure: (scores: Score[]) => string, groups: typeof columns) =>
    markdown([
      ["", ...groups.map(([name]) => name)],
      ...rows.map((row) => [row.method.name, ...groups.map(([, wanted]) => figure(select(row, infos, wanted)))]),
    ]);
  const siSdr = (scores: Score[]) => format(estimate(scores.map((s) => s.siSdrDb)), 1);
  const byFamily: typeof columns = families.map((family) => [family, (info) => info.family === family]);
  const byCondition: typeof columns = [
    ...[...new Set(infos.map((info) => info.speaker))].map((speaker): (typeof columns)[number] => [
      speaker,
      (info) => info.speaker === speaker,
    ]),
    ["in a room", (info) => info.reverberant],
    ["clipped", (info) => info.clipped],
  ];
  return [
    `${infos.length} clips; mean ± 95 % interval over clips; families with * are in no training data.`,
    `SI-SDR in dB, reference and output high-passed as RNNoise does:\n\n${table(siSdr, columns)}`,
    `The same by noise family:\n\n${table(siSdr, byFamily)}`,
    `The same by speaker and recording:\n\n${table(siSdr, byCondition)}`,
    `STOI:\n\n${table((scores) => format(estimate(scores.map((s) => s.stoi)), 3), columns)}`,
    `Pauses, clean speech and cost:\n\n${costs(rows)}`,
    `Difference from each clip's RNNoise score, SI-SDR in dB:\n\n${differences(rows, infos, [...columns, ...byFamily])}`,
  ].join("\n\n");
}

function costs(rows: readonly Row[]): string {
  const header = [
    "",
    "noise left in pauses, dB",
    "clean in: SI-SDR, dB",
    "clean in: STOI",
    "CPU us a hop, mean",
    "us a hop, median",
    "mean",
    "p99",
    "streams a core",
  ];
  return markdown([
    header,
    ...rows.map((row) => {
      const mean = estimate(row.costUs).mean;
      const cpu = estimate(row.cpuUs).mean;
      return [
        row.method.name,
        format(estimate(row.scores.map((s) => s.pauseDb)), 1),
        row.clean.length > 0 ? format(estimate(row.clean.map((s) => s.siSdrDb)), 1) : "",
        row.clean.length > 0 ? format(estimate(row.clean.map((s) => s.stoi)), 4) : "",
        cpu.toFixed(0),
        quantile(row.costUs, 0.5).toFixed(0),
        mean.toFixed(0),
        quantile(row.costUs, 0.99).toFixed(0),
        row.method.name === "noisy" ? "" : Math.floor(10_000 / cpu).toString(),
      ];
    }),
  ]);
}

/** Ours minus each RNNoise, paired by clip, which takes the difficulty of the clip out of the interval. */
function differences(
  rows: readonly Row[],
  infos: readonly ClipInfo[],
  groups: readonly [string, (info: ClipInfo) => boolean][],
): string {
  const ours = rows.at(-1)!;
  const others = rows.filter((row) => row.method.name.startsWith("RNNoise"));
  return markdown([
    ["", ...others.map((other) => `${ours.method.name} - ${other.method.name}`)],
    ...groups.map(([name, wanted]) => [
      name,
      ...others.map((other) => {
        const [a, b] = [select(ours, infos, wanted), select(other, infos, wanted)];
        return format(estimate(a.map((s, i) => s.siSdrDb - b[i]!.siSdrDb)), 2);
      }),
    ]),
  ]);
}

/** Mean figures of one method, by name with unit. */
export type Figures = Readonly<Record<string, number>>;

function figures(row: Row, infos: readonly ClipInfo[]): Figures {
  const siSdr = (wanted: (info: ClipInfo) => boolean) => average(select(row, infos, wanted).map((s) => s.siSdrDb));
  const stoi = (wanted: (info: ClipInfo) => boolean) => average(select(row, infos, wanted).map((s) => s.stoi));
  const snrs = [...new Set(infos.map((info) => info.snrDb))].sort((a, b) => a - b);
  const families = [...new Set(infos.map((info) => info.family))];
  return {
    "SI-SDR dB, all": siSdr(() => true),
    ...Object.fromEntries(snrs.map((snr) => [`SI-SDR dB, ${snr} dB`, siSdr((info) => info.snrDb === snr)])),
    ...Object.fromEntries(families.map((name) => [`SI-SDR dB, ${name}`, siSdr((info) => info.family === name)])),
    "STOI, all": stoi(() => true),
    ...Object.fromEntries(snrs.map((snr) => [`STOI, ${snr} dB`, stoi((info) => info.snrDb === snr)])),
    "noise in pauses dB": average(row.scores.map((s) => s.pauseDb)),
    "clean SI-SDR dB": average(row.clean.map((s) => s.siSdrDb)),
    "clean STOI": average(row.clean.map((s) => s.stoi)),
    "mean CPU us a hop": average(row.cpuUs),
    "p50 us a hop": quantile(row.costUs, 0.5),
    "mean us a hop": average(row.costUs),
    "p99 us a hop": quantile(row.costUs, 0.99),
  };
}

function average(values: readonly number[]): number {
  return estimate(values).mean;
}
