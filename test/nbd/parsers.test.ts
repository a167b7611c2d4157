/** The two parsers: where the bytes are cut makes no difference, and lengths are not trusted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { limits } from "../../src/base/limits.js";
import { ChunkReader } from "../../src/nbd/chunk-reader.js";
import { OptionParser } from "../../src/nbd/option-parser.js";
import { command, option } from "../../src/nbd/protocol.js";
import { RequestParser } from "../../src/nbd/request-parser.js";
import { goData, optionHeader, requestHeader } from "./client.js";
import { pattern, seededRandom } from "./fixture.js";

/** A handshake and requests, as one client would send them. */
function recordedStream(): Buffer {
  const name = goData("disk", [1, 3]);
  const request = (type: number, cookie: number, position: number, length: number): Buffer =>
    requestHeader({ type, flags: 0, cookie, position, length });
  return Buffer.concat([
    Buffer.from([0, 0, 0, 3]),
    optionHeader(option.structuredReply, 0),
    optionHeader(99, limits.nbdOptionBytesMax + 1),
    Buffer.alloc(limits.nbdOptionBytesMax + 1),
    optionHeader(option.go, name.length),
    name,
    request(command.read, 1, 2 ** 40 + 512, 4096),
    request(command.write, 2, 100, 37),
    pattern(37),
    request(command.write, 3, 200, 300),
    pattern(300, 3),
    request(command.flush, 4, 0, 0),
    request(command.write, 5, 0, 0),
    request(command.write, 6, 4, 64),
    pattern(64, 9),
    request(command.disconnect, 7, 0, 0),
  ]);
}

/** What the parsers make of the stream, cut at the given places, as text. */
function events(stream: Buffer, cuts: readonly number[]): string[] {
  const seen: string[] = [];
  const reader = new ChunkReader();
  const options = new OptionParser(reader);
  const requests = new RequestParser(reader);
  let transmission = false;
  let target = Buffer.alloc(0);
  const pump = (): void => {
    while (!transmission) {
      const step = options.next();
      if (step === "needMore") return;
      seen.push(`${step} ${options.clientFlags} ${options.type} ${options.data.toString("hex")}`);
      if (step === "broken") return;
      transmission = step === "option" && options.type === option.go;
    }
    for (let step = requests.next(); step !== "needMore"; step = requests.next()) {
      if (step === "broken") return void seen.push("broken");
      if (step === "payload") seen.push(`payload ${target.toString("hex")}`);
      if (step === "skipped") seen.push("skipped");
      if (step !== "request") continue;
      const { type, cookieLow, position, length } = requests;
      seen.push(`request ${type} ${cookieLow} ${position} ${length}`);
      if (type !== command.write || length === 0) continue;
      const whole = cookieLow === 2 ? requests.peekPayload() : undefined;
      if (whole !== undefined) {
        requests.acceptPayload();
        seen.push(`payload ${whole.toString("hex")}`);
      } else if (cookieLow === 6) {
        requests.skipPayload();
      } else {
        target = Buffer.alloc(length);
        requests.fillPayload(target);
      }
    }
  };
  for (let i = 0; i <= cuts.length; i++) {
    reader.push(stream.subarray(cuts[i - 1] ?? 0, cuts[i] ?? stream.length));
    pump();
  }
  return seen;
}

test("a stream cut at any one place gives the same steps", () => {
  const stream = recordedStream();
  const whole = events(stream, []);
  assert.equal(whole.at(-1), "request 2 7 0 0");
  assert.equal(whole.filter((event) => event.startsWith("payload")).length, 2);
  assert.ok(whole.includes("skipped"));
  for (let cut = 1; cut < stream.length; cut++) assert.deepEqual(events(stream, [cut]), whole, `cut at ${cut}`);
});

test("a stream that comes byte by byte, or in random pieces, gives the same steps", () => {
  const stream = recordedStream();
  const whole = events(stream, []);
  assert.deepEqual(
    events(
      stream,
      Array.from({ length: stream.length - 1 }, (_, i) => i + 1),
    ),
    whole,
  );
  const random = seededRandom(7);
  for (let round = 0; round < 200; round++) {
    const cuts = Array.from({ length: random(40) }, () => random(stream.length)).toSorted((a, b) => a - b);
    assert.deepEqual(events(stream, cuts), whole, `cuts ${cuts.join(" ")}`);
  }
});

test("a wrong magic ends the parse for good", () => {
  const reader = new ChunkReader();
  const requests = new RequestParser(reader);
  reader.push(Buffer.alloc(28));
  assert.equal(requests.next(), "broken");
  assert.equal(requests.next(), "broken");
  const options = new OptionParser(reader);
  reader.push(Buffer.alloc(20));
  assert.equal(options.next(), "flags");
  assert.equal(options.next(), "broken");
  assert.equal(options.next(), "broken");
});

test("an option of 4 GiB is skipped without being held", () => {
  const reader = new ChunkReader();
  const options = new OptionParser(reader);
  reader.push(Buffer.concat([Buffer.from([0, 0, 0, 3]), optionHeader(option.go, 0xffffffff)]));
  assert.equal(options.next(), "flags");
  assert.equal(options.next(), "needMore");
  const chunk = Buffer.alloc(65536);
  for (let i = 0; i < 100; i++) {
    reader.push(chunk);
    assert.equal(options.next(), "needMore");
    assert.equal(options.data.length, 0);
  }
});
