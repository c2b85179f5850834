/** A mean over clips with the half width of its 95 % interval (normal approximation). */
export interface Estimate {
  readonly mean: number;
  readonly interval: number;
  readonly count: number;
}

/** Mean and interval of the values that are numbers. */
export function estimate(values: readonly number[]): Estimate {
  const known = values.filter((value) => !Number.isNaN(value));
  const count = known.length;
  const mean = known.reduce((sum, value) => sum + value, 0) / count;
  const variance = known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, count - 1);
  return { mean, interval: 1.96 * Math.sqrt(variance / count), count };
}

/** The value below which the share `share` of `values` lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** `mean ± interval` with `digits` decimals. */
export function format({ mean, interval }: Estimate, digits: number): string {
  return `${mean.toFixed(digits)} ± ${interval.toFixed(digits)}`;
}

/** A table in Markdown; the first row is the header. */
export function markdown(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [line(rows[0]!), line(widths.map((width) => "-".repeat(width))), ...rows.slice(1).map(line)].join("\n");
}
