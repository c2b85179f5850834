import { StateError } from "../../base/index.js";

/** How a value changes with another one, from least squares. */
export interface Trend {
  /** RenderChange of the value for each unit. */
  readonly slope: number;
  /** The slope's 95 % interval is this much to either side. */
  readonly margin: number;
}

/**
 * Fits a line. Memory samples resemble their neighbours, which makes a line look surer than it is, so the interval is
 * widened by the residuals' correlation from one sample to the next (the effective sample size of an AR(1) process).
 *
 * @throws StateError `TOO_FEW_SAMPLES` below four points.
 */
export function trendOf(points: readonly { readonly x: number; readonly y: number }[]): Trend {
  if (points.length < 4) throw new StateError("TOO_FEW_SAMPLES", "A trend needs four samples at least.");
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [centreX, centreY] = [mean(points.map(({ x }) => x)), mean(points.map(({ y }) => y))];
  const spreadX = points.reduce((sum, { x }) => sum + (x - centreX) ** 2, 0);
  const slope = points.reduce((sum, { x, y }) => sum + (x - centreX) * (y - centreY), 0) / spreadX;
  const residuals = points.map(({ x, y }) => y - centreY - slope * (x - centreX));
  const squares = residuals.reduce((sum, value) => sum + value ** 2, 0);
  const lagged = residuals.slice(1).reduce((sum, value, index) => sum + value * residuals[index]!, 0);
  const correlation = squares === 0 ? 0 : Math.min(0.9, Math.max(0, lagged / squares));
  const error = Math.sqrt(squares / (points.length - 2) / spreadX);
  return { slope, margin: 1.96 * error * Math.sqrt((1 + correlation) / (1 - correlation)) };
}
