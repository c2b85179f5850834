import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, sep } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");

/** What each room may import besides npm packages and itself. */
const mayImport: Record<string, readonly string[]> = {
  base: [],
  container: ["base"],
  flow: ["base"],
  transport: ["base"],
  publisher: ["base", "container", "flow", "transport"],
  relay: ["base", "container", "flow", "transport"],
  watch: ["base", "container", "flow", "transport"],
  src: ["base", "container", "flow", "transport", "publisher", "relay", "watch"],
};

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return name === "node_modules" ? [] : sources(path);
    return /\.tsx?$/.test(name) && !name.endsWith(".test.ts") ? [path] : [];
  });
}

function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:from|import)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g)].map((match) => match[1]!);
}

/** Doors other than `index.ts`: files that run in a browser, where an index would pull in Node. */
const browserDoors = /^(watch\/browser\/|transport\/browser|container\/|flow\/|base\/|watch\/)/;

test("every room imports only the floors below it, through their doors, and rooms on one floor never meet", () => {
  const violations: string[] = [];
  let checked = 0;
  for (const [room, allowed] of Object.entries(mayImport)) {
    for (const file of sources(join(root, room))) {
      const here = file
        .slice(root.length + 1)
        .split(sep)
        .join("/");
      for (const specifier of importsOf(readFileSync(file, "utf8"))) {
        const target = normalize(join(dirname(here), specifier))
          .split(sep)
          .join("/");
        const other = target.split("/")[0]!;
        checked++;
        if (other === room) continue;
        if (!allowed.includes(other)) violations.push(`${here} imports ${target}`);
        const isDoor = /^[a-z]+\/index\.js$/.test(target) || target === "base/polyfills.js";
        const inBrowser = /^(watch\/browser|src\/page)\//.test(here) && browserDoors.test(target);
        if (!isDoor && !inBrowser) violations.push(`${here} reaches past the door of ${other}: ${target}`);
      }
    }
  }
  expect(violations).toEqual([]);
  expect(checked).toBeGreaterThan(20);
});
