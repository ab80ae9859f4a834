/**
 * A GPU in software, for tests and for machines without one: SwiftShader and the Vulkan loader, out of the package `@sparticuz/chromium`.
 * The dynamic linker looks at the environment when a process starts, so it must be set in the parent of the process that is to use it.
 * Node only; nothing here is imported by the backend itself.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { brotliDecompressSync } from "node:zlib";

const files = ["libvulkan.so.1", "libvk_swiftshader.so", "vk_swiftshader_icd.json"];

/** Environment variables with which a child process finds the software adapter. Unpacks it at the first call. */
export function softwareGpuEnvironment(): Record<string, string> {
  const folder = unpackChromium("swiftshader", files, (archive, write) => {
    for (const { name, data } of archive("swiftshader.tar.br")) if (files.includes(name)) write(name, data);
  });
  const driver = join(folder, "vk_swiftshader_icd.json");
  const { LD_LIBRARY_PATH, XDG_RUNTIME_DIR } = process.env;
  return {
    VK_ICD_FILENAMES: driver,
    VK_DRIVER_FILES: driver,
    LD_LIBRARY_PATH: LD_LIBRARY_PATH ? `${folder}:${LD_LIBRARY_PATH}` : folder,
    XDG_RUNTIME_DIR: XDG_RUNTIME_DIR ?? tmpdir(), // else a warning
  };
}

/** What a tar archive of the package holds, or a lone compressed file. */
type Archive = (file: string) => Iterable<{ readonly name: string; readonly data: Buffer }>;

/**
 * A temporary folder with files out of `@sparticuz/chromium`, filled by `unpack` unless it holds the `wanted` ones already. Throws where the
 * package is not installed, and on a machine that its programs do not run on.
 */
export function unpackChromium(
  title: string,
  wanted: readonly string[],
  unpack: (archive: Archive, write: (name: string, data: Buffer) => void) => void,
): string {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(`@sparticuz/chromium holds programs for Linux on x64; this is ${process.platform} on ${process.arch}`);
  }
  const root = chromiumPackage();
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const folder = join(tmpdir(), `crabro-${title}-${version}-${process.getuid?.() ?? 0}`);
  const isWhole = (): boolean => wanted.every((file) => existsSync(join(folder, file)));
  if (isWhole()) return folder;
  // Under another name first: several processes may do this at once.
  const draft = mkdtempSync(`${folder}-`);
  unpack(
    (file) => {
      const data = brotliDecompressSync(readFileSync(join(root, "bin", file)));
      return file.endsWith(".tar.br") ? entriesOf(data) : [{ name: file.replace(/\.br$/, ""), data }];
    },
    (name, data) => {
      mkdirSync(dirname(join(draft, name)), { recursive: true });
      writeFileSync(join(draft, name), data, { mode: 0o755 });
    },
  );
  chmodSync(draft, 0o755);
  try {
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!isWhole()) throw error;
  }
  return folder;
}

function chromiumPackage(): string {
  let root = dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium"));
  while (!existsSync(join(root, "bin", "swiftshader.tar.br"))) {
    if (root === dirname(root)) throw new Error("@sparticuz/chromium has no swiftshader.tar.br");
    root = dirname(root);
  }
  return root;
}

/** The plain files of a tar archive. */
function* entriesOf(archive: Buffer): Generator<{ readonly name: string; readonly data: Buffer }> {
  const text = (from: number, length: number): string => archive.toString("utf8", from, from + length).replace(/\0[\s\S]*$/, "");
  for (let at = 0; at + 512 <= archive.length; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    const name = text(at, 100).replace(/^\.\//, "");
    if (name === "") return;
    if (["0", ""].includes(text(at + 156, 1))) yield { name, data: archive.subarray(at + 512, at + 512 + size) };
    at += 512 * (1 + Math.ceil(size / 512));
  }
}
