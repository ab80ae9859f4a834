/** Fetching public data sets. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { OpError } from "../../engine/errors.js";
import { writeAtomically } from "../checkpoint.js";
import { readTar } from "./tar.js";

interface PublicFile {
  readonly name: string;
  /** Checksum that the publishers give. */
  readonly md5: string;
}

/** A public data set: where its files are, and their checksums. */
export interface PublicSet {
  readonly title: string;
  readonly base: string;
  readonly files: readonly PublicFile[];
}

/** Data sets that `fetchSet` can fetch, by name. */
export const publicSets: Readonly<Record<string, PublicSet>> = {
  mnist: {
    title: "MNIST",
    base: "https://ossci-datasets.s3.amazonaws.com/mnist/",
    files: [
      { name: "train-images-idx3-ubyte.gz", md5: "f68b3c2dcbeaaa9fbdd348bbdeb94873" },
      { name: "train-labels-idx1-ubyte.gz", md5: "d53e105ee54ea40749a09fcbcd1e9432" },
      { name: "t10k-images-idx3-ubyte.gz", md5: "9fb629c4189551a2d022fa330f9573f3" },
      { name: "t10k-labels-idx1-ubyte.gz", md5: "ec29112dd5afa0611ce80d1b7f02629c" },
    ],
  },
  "fashion-mnist": {
    title: "Fashion-MNIST",
    base: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    files: [
      { name: "train-images-idx3-ubyte.gz", md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d" },
      { name: "train-labels-idx1-ubyte.gz", md5: "25c81989df183df01b3e8a0aad5dffbe" },
      { name: "t10k-images-idx3-ubyte.gz", md5: "bef4ecab320f06d8554ea6380940ec79" },
      { name: "t10k-labels-idx1-ubyte.gz", md5: "bb300cfdad3c16e7a12a480ee83cd310" },
    ],
  },
  cifar10: {
    title: "CIFAR-10",
    base: "https://www.cs.toronto.edu/~kriz/",
    files: [{ name: "cifar-10-binary.tar.gz", md5: "c32a1d4ab5d03f1284b67883e8d87530" }],
  },
  cifar100: {
    title: "CIFAR-100",
    base: "https://www.cs.toronto.edu/~kriz/",
    files: [{ name: "cifar-100-binary.tar.gz", md5: "03b5dce01913d631647c71ecec9e9cb8" }],
  },
};

export interface FetchOptions {
  /** Sees how many bytes of a file are there; `total` is null where the server does not say. */
  readonly onProgress?: (name: string, done: number, total: number | null) => void;
}

const md5Of = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");

/**
 * Fetches the files of a set into a folder, and unpacks archives there. Files that are there already and whole are not fetched again.
 * Throws OpError that says what to do by hand where the network does not give them, or gives something else.
 */
export async function fetchSet({ title, base, files }: PublicSet, folder: string, { onProgress }: FetchOptions = {}): Promise<void> {
  for (const { name, md5 } of files) {
    const path = join(folder, name);
    const address = new URL(name, base).href;
    let bytes: Uint8Array;
    if (existsSync(path) && md5Of(readFileSync(path)) === md5) bytes = readFileSync(path);
    else {
      bytes = await download(address, name, onProgress).catch((error: unknown) => {
        const cause = (error as Error).cause;
        const why = cause instanceof Error ? cause.message : (error as Error).message;
        throw new OpError(
          "data",
          `cannot fetch ${title} from ${address}: ${why}; where there is a network, download ${files.map((file) => new URL(file.name, base).href).join(" ")} into ${folder} and run this again`,
          { cause: error },
        );
      });
      const found = md5Of(bytes);
      if (found !== md5)
        throw new OpError("data", `${address} gave ${bytes.length} bytes with MD5 ${found}; expected ${md5}; nothing was written`);
      writeAtomically(path, bytes);
    }
    if (name.endsWith(".tar.gz"))
      for (const file of readTar(gunzipSync(bytes), name)) writeAtomically(join(folder, safe(file.path, name)), file.bytes);
  }
}

/** Archives must not write outside of the folder. */
function safe(path: string, archive: string): string {
  if (path.startsWith("/") || path.split("/").includes(".."))
    throw new OpError("data", `${archive} holds ${path}, which lies outside of it`);
  return path;
}

async function download(address: string, name: string, onProgress: FetchOptions["onProgress"]): Promise<Uint8Array> {
  const response = await fetch(address);
  if (!response.ok || response.body === null) throw new Error(`the server says ${response.status} ${response.statusText}`);
  const length = response.headers.get("content-length");
  const total = length === null ? null : Number(length);
  const parts: Uint8Array[] = [];
  let done = 0;
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    parts.push(part);
    done += part.length;
    onProgress?.(name, done, total);
  }
  if (total !== null && done < total) throw new Error(`it ended after ${done} of ${total} bytes`);
  return Buffer.concat(parts);
}
