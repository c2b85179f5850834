import { TransportError } from "../../base/index.js";

/**
 * Rewrites an ELF64 little-endian shared object so that it loads on a C library older than 2.38.
 *
 * The published linux-x64 build imports two symbols of GLIBC_2.38, `__isoc23_strtol` and `__isoc23_sscanf`, which a
 * newer compiler substitutes for `strtol` and `sscanf`. The older functions differ only in not reading binary
 * literals, so the patch moves both references to them: the symbol's name starts nine bytes later in the string table,
 * its version becomes GLIBC_2.2.5, and the requirement of GLIBC_2.38 is marked weak.
 *
 * Returns a patched copy and leaves the input unchanged.
 *
 * @throws TransportError `NATIVE_REFUSED` when the file does not have the expected shape.
 */
export function patchSharedObject(input: Uint8Array): Uint8Array {
  try {
    return patch(input);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new TransportError("NATIVE_REFUSED", `The QUIC binding can't be adapted: ${cause.message}`, { cause });
  }
}

function patch(input: Uint8Array): Uint8Array {
  const out = Buffer.from(input);
  if (out.length < 64 || out.readUInt32BE(0) !== 0x7f454c46 || out[4] !== 2 || out[5] !== 1) {
    throw new RangeError("The file is not a little-endian ELF64 object.");
  }
  const sections = readSections(out);
  const symbols = sections.find((section) => section.type === SHT_DYNSYM);
  const versions = sections.find((section) => section.type === SHT_GNU_VERSYM);
  const needs = sections.find((section) => section.type === SHT_GNU_VERNEED);
  const strings = symbols && sections[symbols.link];
  if (!symbols || !versions || !needs || !strings) throw new RangeError("The file has no versioned dynamic symbols.");

  const text = (offset: number): string => {
    const start = strings.offset + offset;
    return out.toString("latin1", start, out.indexOf(0, start));
  };

  let oldest: number | undefined;
  const tooNew = new Map<number, number>();
  let need = needs.offset;
  for (let i = 0; i < needs.info; i++) {
    if (text(out.readUInt32LE(need + 4)) === "libc.so.6") {
      let entry = need + out.readUInt32LE(need + 8);
      for (let j = out.readUInt16LE(need + 2); j > 0; j--) {
        const version = text(out.readUInt32LE(entry + 8));
        const index = out.readUInt16LE(entry + 6);
        if (version === "GLIBC_2.2.5") oldest = index;
        if (version === "GLIBC_2.38") tooNew.set(index, entry);
        entry += nextOf(out, entry + 12);
      }
    }
    need += nextOf(out, need + 12);
  }
  if (oldest === undefined || tooNew.size === 0) throw new RangeError("The file does not need GLIBC_2.38.");

  for (let i = 0; i < symbols.size / SYMBOL_SIZE; i++) {
    const version = versions.offset + i * 2;
    if (!tooNew.has(out.readUInt16LE(version) & 0x7fff)) continue;
    const symbol = symbols.offset + i * SYMBOL_SIZE;
    const nameOffset = out.readUInt32LE(symbol);
    const name = text(nameOffset);
    if (name !== `${PREFIX}strtol` && name !== `${PREFIX}sscanf`) {
      throw new RangeError(`The file needs ${name} of GLIBC_2.38, which has no older equivalent.`);
    }
    out.writeUInt32LE(nameOffset + PREFIX.length, symbol);
    out.writeUInt16LE(oldest, version);
  }
  for (const entry of tooNew.values()) out.writeUInt16LE(out.readUInt16LE(entry + 4) | VER_FLG_WEAK, entry + 4);
  return out;
}

const PREFIX = "__isoc23_";
const SHT_DYNSYM = 11;
const SHT_GNU_VERNEED = 0x6ffffffe;
const SHT_GNU_VERSYM = 0x6fffffff;
const SYMBOL_SIZE = 24;
const SECTION_SIZE = 64;
/** Size of an entry in the lists of needed versions and of their names. */
const ENTRY_SIZE = 16;
const VER_FLG_WEAK = 2;

interface Section {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
}

/** Bytes to the next entry of a list: at least the size of one, so that every list ends. */
function nextOf(file: Buffer, offset: number): number {
  return Math.max(ENTRY_SIZE, file.readUInt32LE(offset));
}

function readSections(file: Buffer): Section[] {
  const start = Number(file.readBigUInt64LE(0x28));
  const size = file.readUInt16LE(0x3a);
  const count = file.readUInt16LE(0x3c);
  if (size < SECTION_SIZE || start + size * count > file.length) throw new RangeError("Its sections are damaged.");
  return Array.from({ length: count }, (_, i) => {
    const header = start + i * size;
    return {
      type: file.readUInt32LE(header + 4),
      offset: Number(file.readBigUInt64LE(header + 24)),
      size: Number(file.readBigUInt64LE(header + 32)),
      link: file.readUInt32LE(header + 40),
      info: file.readUInt32LE(header + 44),
    };
  });
}
