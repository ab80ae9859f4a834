/** CRC-32 as zip archives have it (reflected, polynomial 0xEDB88320), eight bytes at a step. */

/** tables[k][b]: the remainder of byte b with k zero bytes after it. */
const tables: readonly Int32Array[] = (() => {
  const all = Array.from({ length: 8 }, () => new Int32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let rest = byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
    all[0][byte] = rest;
  }
  for (let k = 1; k < 8; k++)
    for (let byte = 0; byte < 256; byte++) all[k][byte] = (all[k - 1][byte] >>> 8) ^ all[0][all[k - 1][byte] & 255];
  return all;
})();

/** The checksum of `bytes`, or of all so far when `before` is the checksum of what came before them. Unsigned. */
export function crc32(bytes: Uint8Array, before = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
  let rest = ~before;
  let i = 0;
  for (const end = bytes.length - 7; i < end; i += 8) {
    rest ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    rest =
      t7[rest & 255] ^
      t6[(rest >>> 8) & 255] ^
      t5[(rest >>> 16) & 255] ^
      t4[rest >>> 24] ^
      t3[bytes[i + 4]] ^
      t2[bytes[i + 5]] ^
      t1[bytes[i + 6]] ^
      t0[bytes[i + 7]];
  }
  for (; i < bytes.length; i++) rest = (rest >>> 8) ^ t0[(rest ^ bytes[i]) & 255];
  return ~rest >>> 0;
}
