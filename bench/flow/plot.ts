import type { LaneResult } from "./lane.js";

const WIDTH = 720;
const PANEL_HEIGHT = 110;
const LEFT = 64;
const RIGHT = 12;
const TOP = 44;
const GAP = 30;
/** Points of a line are this far apart, in milliseconds; each is the worst of what lies between. */
const STEP_MS = 250;

interface Point {
  readonly atMs: number;
  readonly value: number;
}

interface Panel {
  readonly title: string;
  /** Of two values, the one that shows. */
  readonly worse: (left: number, right: number) => number;
  readonly points: (result: LaneResult) => readonly Point[];
}

const PANELS: readonly Panel[] = [
  {
    title: "landing lead, ms (least)",
    worse: Math.min,
    points: ({ far, span }) =>
      far.landings.map(({ at, lead }) => ({ atMs: (at - span.from) / 1e3, value: lead / 1e3 })),
  },
  {
    title: "staleness of reports, ms (most)",
    worse: Math.max,
    points: ({ near, span }) =>
      near.map(({ at, stalenessMs }) => ({ atMs: (at - span.from) / 1e3, value: stalenessMs ?? 0 })),
  },
  {
    title: "in flight to the listener, KiB (most)",
    worse: Math.max,
    points: ({ far, span }) =>
      far.samples.map(({ at, downQueuedBytes }) => ({ atMs: (at - span.from) / 1e3, value: downQueuedBytes / 1024 })),
  },
];

const STYLE = `
  .paper { fill: #fbfaf7 } text { fill: #3c4650; font: 12px system-ui, sans-serif } .title { font-size: 14px }
  .line { fill: none; stroke-width: 1.5; stroke-linejoin: round } .grid { stroke: #d8d5cc } .zero { stroke: #b3402e }
  .c0 { stroke: #1f6f8b } .c1 { stroke: #c07a12 } .c2 { stroke: #7a5aa6 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #14191d } text { fill: #c9d1d6 } .grid { stroke: #2f383e } .zero { stroke: #e2765f }
    .c0 { stroke: #67b7d1 } .c1 { stroke: #e8b04f } .c2 { stroke: #b79be0 }
  }`;

/** Draws lead, staleness and bytes in flight over the measured time, one line for each variant. */
export function plot(title: string, results: readonly LaneResult[]): string {
  const durationMs = Math.max(...results.map(({ span }) => (span.to - span.from) / 1e3));
  const height = TOP + PANELS.length * (PANEL_HEIGHT + GAP);
  const parts = PANELS.map((panel, index) => drawPanel(panel, results, durationMs, TOP + index * (PANEL_HEIGHT + GAP)));
  const legend = results.map(({ options }, index) => {
    const x = WIDTH - RIGHT - (results.length - index) * 120;
    const name = options.variant.name ?? "as it is";
    return `<path class="line c${index}" d="M${x} 18h18"/><text x="${x + 24}" y="22">${name}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}">`,
    `<style>${STYLE}\n</style>`,
    `<rect class="paper" width="${WIDTH}" height="${height}" rx="6"/>`,
    `<text class="title" x="${LEFT}" y="22">${title}</text>`,
    ...(results.length > 1 ? legend : []),
    ...parts,
    "</svg>\n",
  ].join("\n");
}

function drawPanel(panel: Panel, results: readonly LaneResult[], durationMs: number, top: number): string {
  const lines = results.map((result) => thin(panel, result, durationMs));
  const values = lines.flat().map(({ value }) => value);
  const high = niceAbove(Math.max(1, ...values));
  const low = Math.min(...values) < 0 ? -niceAbove(-Math.min(...values)) : 0;
  const x = (atMs: number) => (LEFT + (atMs / durationMs) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (value: number) => (top + PANEL_HEIGHT * (1 - (value - low) / (high - low))).toFixed(1);
  const rule = (value: number) =>
    `<path class="${value === 0 && low < 0 ? "zero" : "grid"}" d="M${LEFT} ${y(value)}H${WIDTH - RIGHT}"/>` +
    `<text x="${LEFT - 6}" y="${Number(y(value)) + 4}" text-anchor="end">${value}</text>`;
  const seconds = Array.from({ length: 7 }, (_, index) => (index * durationMs) / 6);
  return [
    `<text x="${LEFT}" y="${top - 6}">${panel.title}</text>`,
    ...new Set([low, 0, high].map(rule)),
    ...seconds.map(
      (atMs) =>
        `<text x="${x(atMs)}" y="${top + PANEL_HEIGHT + 14}" text-anchor="middle">${Math.round(atMs / 1000)} s</text>`,
    ),
    // The design itself lies on top.
    ...lines.map((line, index) => `<path class="line c${index}" d="${path(line, x, y)}"/>`).reverse(),
  ].join("\n");
}

function path(line: readonly Point[], x: (atMs: number) => string, y: (value: number) => string): string {
  return line.map(({ atMs, value }, index) => `${index === 0 ? "M" : "L"}${x(atMs)} ${y(value)}`).join("");
}

function thin({ points, worse }: Panel, result: LaneResult, durationMs: number): Point[] {
  const steps = new Map<number, number>();
  for (const { atMs, value } of points(result)) {
    if (atMs < 0 || atMs >= durationMs) continue;
    const step = Math.floor(atMs / STEP_MS);
    steps.set(step, worse(steps.get(step) ?? value, value));
  }
  return [...steps].sort(([left], [right]) => left - right).map(([step, value]) => ({ atMs: step * STEP_MS, value }));
}

/** The next 1, 2 or 5 times a power of ten. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= value) ?? 10 * power;
}
