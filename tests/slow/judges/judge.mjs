// Prints size, SHA-256, mode and path of each member of a .tar.gz, by Node's zlib and the tar package that npm brings.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createRequire } from "node:module";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";

const [archive, modules] = process.argv.slice(2);
const tar = createRequire(modules + "/")("tar");
const lines = [];
const parser = new tar.Parser({ strict: true, maxMetaEntrySize: 1 << 20 });
parser.on("entry", (entry) => {
  if (entry.type !== "File") throw new Error(`a member that is no file: ${entry.type}`);
  const digest = createHash("sha256");
  let size = 0;
  entry.on("data", (data) => {
    digest.update(data);
    size += data.length;
  });
  entry.on("end", () => lines.push(`${size} ${digest.digest("hex")} ${entry.mode.toString(8)} ${entry.path}`));
});
await new Promise((resolve, reject) => {
  parser.on("end", resolve);
  parser.on("error", reject);
  pipeline(createReadStream(archive, { highWaterMark: 1 << 20 }), createGunzip({ chunkSize: 1 << 20 }), async (source) => {
    for await (const data of source) {
      if (!parser.write(data)) await new Promise((drained) => parser.once("drain", drained));
    }
    parser.end();
  }).catch(reject);
});
process.stdout.write(lines.map((line) => line + "\n").join(""));
