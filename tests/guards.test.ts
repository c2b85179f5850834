import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
/** What runs beside strangers. The page and the command line have an end of their own. */
const FOLDERS = ["publisher", "relay", "watch", "transport"];
/** Arrows that can't throw: they settle an awaited promise, or end a socket. */
const HARMLESS = /^\(\) =>\s*(resolve|reject|abandon|settle|socket\.(destroy|terminate)|fresh\(\)\.then)\(/;

test("no timer and no unawaited promise runs our code without a guard", () => {
  const bare: string[] = [];
  let checked = 0;
  for (const folder of FOLDERS) {
    for (const name of readdirSync(join(root, folder), { recursive: true }).map(String)) {
      if (!name.endsWith(".ts") || name.endsWith(".test.ts")) continue;
      const text = readFileSync(join(root, folder, name), "utf8");
      for (const { 0: call, index } of text.matchAll(
        /\b(?:setTimeout|setInterval|setImmediate|queueMicrotask)\(\s*/g,
      )) {
        checked++;
        const rest = text.slice(index + call.length);
        if (/^\(/.test(rest) && !HARMLESS.test(rest)) bare.push(`${folder}/${name}: ${call}${rest.split("\n", 1)[0]}`);
      }
      for (const { 0: line } of text.matchAll(/\bvoid [\w#.]*(closed|ended)\.then\(.*/g))
        bare.push(`${folder}/${name}: ${line}`);
    }
  }
  expect(bare).toEqual([]);
  expect(checked).toBeGreaterThan(40);
});
