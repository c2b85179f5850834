import { expect, test } from "vitest";
import { fromMilliseconds } from "../../base/index.js";
import { type Aggregate, decodeAggregate, type Report } from "../../flow/report/index.js";
import { broadcast, source } from "../../tests/support/broadcasts.js";
import { aggregateOf, reportWith } from "../../tests/support/reports.js";

let now = 0;

const report = (session: number): Report => reportWith({ session, clientTimeMs: now, bufferedMs: 500 });

/** An edge's aggregate now, which names these of its `count` listeners. */
function aggregate(sessions: readonly number[], count = sessions.length): Aggregate {
  const listed = sessions.map((session) => ({ session }));
  return aggregateOf(listed, { relayTimeMs: now, listeners: count });
}

/** A broadcast, and the listeners in each aggregate that its publisher gets. */
function open() {
  const sent: number[] = [];
  const sendAggregate = (_: string, body: Uint8Array): boolean => {
    const decoded = decodeAggregate(body);
    if (decoded.ok) sent.push(decoded.aggregate.listeners);
    return decoded.ok;
  };
  const made = broadcast({ ...source("a"), sendAggregate }, "demo.hang", () => fromMilliseconds(now));
  /** The aggregates that something brings about, some milliseconds later. */
  const after = (milliseconds: number, act: () => void): number[] => {
    now += milliseconds;
    act();
    return sent.splice(0);
  };
  return { made, after, sweep: () => after(100, () => made.sweep()) };
}

test("a publisher learns at once, and once more, that its last listener has left", () => {
  const { made, after, sweep } = open();
  expect(sweep()).toEqual([]);
  expect(after(10, () => made.report("one", report(1)))).toEqual([1]);
  expect(after(10, () => made.report("two", report(2)))).toEqual([2]);
  expect(after(10, () => made.forget("one"))).toEqual([]);
  expect(sweep()).toEqual([1]);
  expect(after(10, () => made.forget("two"))).toEqual([0]);
  // Neither a session that is gone twice nor one that never reported is news.
  expect(after(10, () => made.forget("two"))).toEqual([]);
  expect(after(10, () => made.forget("three"))).toEqual([]);
  expect(sweep()).toEqual([0]);
  expect(sweep()).toEqual([]);
  expect(after(10, () => made.report("one", report(1)))).toEqual([1]);
  expect(sweep()).toEqual([1]);
});

test("a publisher learns at once that the last listener of an edge has left, or the edge itself", () => {
  const { made, after, sweep } = open();
  expect(after(10, () => made.reportEdge("edge", aggregate([1, 2])))).toEqual([]);
  expect(sweep()).toEqual([2]);
  after(10, () => made.reportEdge("edge", aggregate([2])));
  expect(sweep()).toEqual([1]);
  expect(after(10, () => made.reportEdge("edge", aggregate([])))).toEqual([0]);
  expect(sweep()).toEqual([0]);
  after(10, () => made.reportEdge("edge", aggregate([1, 2])));
  after(10, () => made.reportEdge("another", aggregate([3])));
  expect(sweep()).toEqual([3]);
  expect(after(10, () => made.forget("edge"))).toEqual([]);
  expect(sweep()).toEqual([1]);
  expect(after(10, () => made.forget("another"))).toEqual([0]);
});

test("an aggregate that was overtaken brings back no listener of an edge, and one that names some removes none", () => {
  const { made, after, sweep } = open();
  const overtaken = aggregate([1]);
  after(10, () => made.reportEdge("edge", aggregate([1, 2])));
  expect(sweep()).toEqual([2]);
  after(10, () => made.reportEdge("edge", aggregate([2], 30)));
  expect(sweep()).toEqual([2]);
  after(10, () => made.reportEdge("edge", aggregate([])));
  expect(after(10, () => made.reportEdge("edge", overtaken))).toEqual([]);
  expect(sweep()).toEqual([0]);
  expect(sweep()).toEqual([]);
});
