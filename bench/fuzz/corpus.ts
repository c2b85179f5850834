import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const fileOf = (target: string) => fileURLToPath(new URL(`corpus/${target}.hex`, import.meta.url));

/** Inputs that once broke a target, one line of hex each. */
export function readCorpus(target: string): Uint8Array[] {
  const file = fileOf(target);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => new Uint8Array(Buffer.from(line, "hex")));
}

/** Adds an input to a target's corpus. */
export function saveToCorpus(target: string, input: Uint8Array): void {
  mkdirSync(new URL("corpus", import.meta.url), { recursive: true });
  appendFileSync(fileOf(target), `${Buffer.from(input).toString("hex")}\n`);
}
