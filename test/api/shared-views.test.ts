/** What the rest of Node makes of a view of shared memory: the list in docs/access-rules.md, entry by entry. */
import assert from "node:assert/strict";
import { createHash, createHmac, timingSafeEqual, webcrypto } from "node:crypto";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { buffer as bufferOf } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { MessageChannel } from "node:worker_threads";
import { deflateSync, inflateSync } from "node:zlib";
import { type CachedFile, type UserPages, putUserPages } from "../../src/index.js";
import { openDisk, openMemory, pageSize, pattern, scratchFolder, until } from "./fixture.js";

const contents = pattern(pageSize);

/** The bytes of a pinned page: a view of shared memory. */
async function sharedBytes(t: TestContext): Promise<Uint8Array> {
  const pinned: UserPages[] = [];
  // Before the one that closes the cache: they run in this order.
  t.after(() => putUserPages(pinned));
  const { file } = await openDisk(t, contents);
  const pages = await file.getUserPages(0, pageSize);
  pinned.push(pages);
  assert.ok(pages.bytes.buffer instanceof SharedArrayBuffer);
  return pages.bytes;
}

const refusing: Record<string, (bytes: Uint8Array) => unknown> = {
  "crypto.subtle.digest": (bytes) => webcrypto.subtle.digest("SHA-256", bytes),
  "crypto.subtle.importKey": (bytes) =>
    webcrypto.subtle.importKey("raw", bytes.subarray(0, 32) as never, "AES-GCM", false, ["encrypt"]),
  "a byte stream": (bytes) => {
    const stream = new ReadableStream({ type: "bytes", pull: (controller) => controller.enqueue(bytes) });
    return stream.getReader().read();
  },
  "a transfer list": (bytes) => structuredClone(bytes, { transfer: [bytes.buffer as never] }),
};

for (const [name, call] of Object.entries(refusing)) {
  test(`${name} refuses bytes of the cache, and takes a copy of them`, async (t) => {
    const bytes = await sharedBytes(t);
    // Node 20 says TypeError throughout, later versions DataCloneError for the transfer list.
    await assert.rejects(async () => call(bytes), /^(TypeError|DataCloneError)/);
    await call(Uint8Array.from(bytes));
  });
}

const bodies: Record<string, (bytes: Uint8Array) => Promise<ArrayBuffer>> = {
  "new Response": (bytes) => new Response(bytes as never).arrayBuffer(),
  "new Request": (bytes) => new Request("http://localhost", { method: "POST", body: bytes as never }).arrayBuffer(),
};

/** Seen on Node 20.20 (refuses) and on Node 24.21, which takes the numbers as text: wrong, without an error. */
const refusesBodies = Number(process.versions.node.split(".")[0]) < 22;

for (const [name, call] of Object.entries(bodies)) {
  test(`${name} ${refusesBodies ? "refuses" : "misreads"} bytes of the cache, and takes a copy of them`, async (t) => {
    const bytes = await sharedBytes(t);
    if (refusesBodies) await assert.rejects(async () => call(bytes), TypeError);
    else assert.equal(Buffer.from(await call(bytes)).toString(), Array.from(contents).join());
    assert.deepEqual(Buffer.from(await call(Uint8Array.from(bytes))), Buffer.from(contents));
  });
}

const taking: Record<string, (bytes: Uint8Array, t: TestContext) => unknown> = {
  "hash.update": (bytes) => createHash("sha256").update(bytes).digest("hex"),
  "hmac.update": (bytes) => createHmac("sha256", "key").update(bytes).digest("hex"),
  timingSafeEqual: (bytes) => timingSafeEqual(bytes, contents),
  "zlib.deflateSync": (bytes) => inflateSync(deflateSync(bytes)),
  "TextDecoder.decode": (bytes) => new TextDecoder("latin1").decode(bytes),
  "Buffer.compare": (bytes) => Buffer.compare(bytes, contents),
  "Buffer.concat": (bytes) => Buffer.concat([bytes, bytes]),
  "Buffer.toString": (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64"),
  Blob: async (bytes) => Buffer.from(await new Blob([bytes as never]).arrayBuffer()),
  "fs.writeSync and fs.promises.writeFile": async (bytes, t) => {
    const path = join(scratchFolder(t), "written");
    const fd = openSync(path, "w");
    writeSync(fd, bytes);
    closeSync(fd);
    const first = readFileSync(path);
    await writeFile(path, bytes);
    return [first, readFileSync(path)];
  },
};

for (const [name, call] of Object.entries(taking)) {
  test(`${name} takes bytes of the cache as it takes others`, async (t) => {
    const bytes = await sharedBytes(t);
    assert.deepEqual(await call(bytes, t), await call(contents, t));
  });
}

test("slice, Uint8Array.from and Buffer.from of bytes copy them; subarray and Buffer.from of their buffer share them", async (t) => {
  const bytes = await sharedBytes(t);
  for (const copy of [bytes.slice(), Uint8Array.from(bytes), Buffer.from(bytes)])
    assert.ok(copy.buffer instanceof ArrayBuffer);
  const shared = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const view of [bytes.subarray(1), shared]) assert.equal(view.buffer, bytes.buffer);
});

test("structuredClone and postMessage share all memory of the cache with the receiver, and copy nothing", async (t) => {
  const bytes = await sharedBytes(t);
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  const arrived = once(port2, "message");
  port1.postMessage(bytes);
  const [posted] = (await arrived) as [Uint8Array];
  for (const other of [structuredClone(bytes), posted]) {
    assert.ok(other.buffer instanceof SharedArrayBuffer);
    assert.equal(other.buffer.byteLength, bytes.buffer.byteLength, "the whole segment");
    bytes[5] = (bytes[5] as number) ^ 0xff;
    assert.equal(other[5], bytes[5]);
  }
});

test("a stream that passes chunks on keeps the cache's bytes after its write called back", async (t) => {
  const bytes = await sharedBytes(t);
  const through = new PassThrough();
  await new Promise((resolve) => through.write(bytes, resolve));
  const chunk = through.read() as Buffer;
  assert.equal(chunk.buffer, bytes.buffer);
});

interface SocketPair {
  readonly client: Socket;
  /** Begins to read what arrives; until then the other end takes nothing but what fits the kernel's buffers. */
  readonly receive: () => Promise<Buffer>;
}

async function socketPair(t: TestContext): Promise<SocketPair> {
  const server = createServer({ pauseOnConnect: true }).listen(0);
  t.after(() => server.close());
  await once(server, "listening");
  const accepted = once(server, "connection");
  const client = connect((server.address() as AddressInfo).port);
  const [other] = (await accepted) as [Socket];
  t.after(() => {
    other.destroy();
    client.destroy();
  });
  for (const socket of [client, other]) socket.on("error", () => {});
  return { client, receive: () => bufferOf(other) };
}

test("sendTo sends a range to a socket from the cache's own bytes", async (t) => {
  const { cache, file } = await openDisk(t, pattern(100 * pageSize));
  const { client, receive } = await socketPair(t);
  const received = receive();
  await file.sendTo(client, 100, 90 * pageSize);
  await file.sendTo(client, 0, 0);
  client.end();
  assert.deepEqual(await received, pattern(100 * pageSize).subarray(100, 100 + 90 * pageSize));
  assert.deepEqual(cache.pins(), []);
  cache.verify({ quiesce: true });
});

test("an aborted sendTo destroys its target, and lets go of pages only when nothing can send them any more", async (t) => {
  const { cache, file } = await openMemory(t, 240);
  const { client } = await socketPair(t);
  const ended = new AbortController();
  const sending = (async (one: CachedFile) => {
    for (;;) await one.sendTo(client, 0, 240 * pageSize, { signal: ended.signal });
  })(file);
  const outcome = sending.then(
    () => "sent",
    (error: Error) => error.message,
  );
  let seen = -1;
  let unchanged = 0;
  const isStuck = () => {
    unchanged = client.bytesWritten - client.writableLength === seen ? unchanged + 1 : 0;
    seen = client.bytesWritten - client.writableLength;
    return unchanged > 20 && client.writableLength > 0;
  };
  await until(isStuck, "the socket is full");
  assert.ok(cache.pins().length >= 1, "its pages are pinned meanwhile");
  ended.abort(new Error("enough"));
  assert.equal(await outcome, "enough");
  assert.equal(client.destroyed, true);
  assert.deepEqual(cache.pins(), []);
});

test("an aborted sendTo keeps its pages pinned until the target's write in progress calls back", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  let finish = () => {};
  const target = new Writable({
    write(_chunk, _encoding, callback) {
      finish = callback;
    },
  });
  target.on("error", () => {});
  const ended = new AbortController();
  const outcome = file.sendTo(target, 0, 2 * pageSize, { signal: ended.signal }).then(
    () => "sent",
    (error: Error) => error.message,
  );
  await until(() => cache.pins().length === 1, "the pages are with the target");
  ended.abort(new Error("enough"));
  await until(() => target.destroyed, "the target is destroyed");
  assert.equal(cache.pins().length, 1, "its write is still in progress");
  finish();
  assert.equal(await outcome, "enough");
  assert.deepEqual(cache.pins(), []);
});

test("sendTo to a target that was destroyed fails and pins nothing", async (t) => {
  const { cache, file } = await openMemory(t, 4);
  const target = new PassThrough();
  target.on("error", () => {});
  target.destroy();
  await assert.rejects(file.sendTo(target, 0, 10), { code: "ERR_STREAM_DESTROYED" });
  assert.deepEqual(cache.pins(), []);
});
