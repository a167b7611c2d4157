/** Transmission: what each command does and answers, simple and structured. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PinfoldError, type ErrorCode } from "../../src/base/errors.js";
import { KiB, limits, MiB } from "../../src/base/limits.js";
import { command, commandFlag, replyError } from "../../src/nbd/protocol.js";
import { ArrayDevice } from "./array-device.js";
import { NbdReplyError } from "./client.js";
import { pattern, pause, startClient, startServer, until } from "./fixture.js";

const refusedWith = (number: number) => (error: unknown) => error instanceof NbdReplyError && error.number === number;

for (const structured of [false, true]) {
  const kind = structured ? "structured" : "simple";

  for (const immediate of [true, false]) {
    test(`what was written is read back, ${kind} replies, ${immediate ? "hits" : "misses"}`, async (t) => {
      const device = new ArrayDevice(40 * MiB);
      device.immediate = immediate;
      const server = await startServer(t, device);
      const client = await startClient(t, server, { structured });
      const lengths = [1, 511, 4096, 65_536, 65_537, 300 * KiB, 3 * MiB + 5, limits.nbdRequestBytesMax];
      for (const [i, length] of lengths.entries()) {
        const bytes = pattern(length, i);
        await client.write(i * 1001, bytes);
        assert.ok(bytes.equals(device.bytes.subarray(i * 1001, i * 1001 + length)), `${length} bytes arrive`);
        assert.ok(bytes.equals(await client.read(i * 1001, length)), `${length} bytes come back`);
      }
      assert.ok(device.longest <= limits.nbdPieceBytes, "the device never sees more than a piece");
      const stats = server.stats();
      const sum = lengths.reduce((a, b) => a + b, 0);
      assert.deepEqual([stats.bytesRead, stats.bytesWritten, stats.errors, stats.inFlight], [sum, sum, 0, 0]);
      server.verify();
    });
  }

  test(`many requests in flight, ${kind} replies`, async (t) => {
    const device = new ArrayDevice(4 * MiB);
    const server = await startServer(t, device);
    const client = await startClient(t, server, { structured });
    await Promise.all(Array.from({ length: 500 }, (_, i) => client.write(i * 4096, pattern(4096, i))));
    const back = await Promise.all(Array.from({ length: 500 }, (_, i) => client.read(i * 4096, 4096)));
    back.forEach((bytes, i) => assert.ok(bytes.equals(pattern(4096, i)), `page ${i}`));
  });

  test(`a read or trim past the end is invalid, a write has no space, ${kind} replies`, async (t) => {
    const server = await startServer(t, new ArrayDevice(8192));
    const client = await startClient(t, server, { structured });
    await assert.rejects(client.read(8000, 193), refusedWith(replyError.EINVAL));
    await assert.rejects(client.read(2 ** 50, 1), refusedWith(replyError.EINVAL));
    await assert.rejects(client.trim(8192, 1), refusedWith(replyError.EINVAL));
    await assert.rejects(client.cache(8192, 1), refusedWith(replyError.EINVAL));
    await assert.rejects(client.write(8000, pattern(193)), refusedWith(replyError.ENOSPC));
    await assert.rejects(client.writeZeroes(8000, 193), refusedWith(replyError.ENOSPC));
    assert.equal((await client.read(8000, 192)).length, 192, "and the stream is still in step");
    assert.equal(server.stats().errors, 6);
  });

  test(`errors of the device are told by number, ${kind} replies`, async (t) => {
    const seen: string[] = [];
    const device = new ArrayDevice(8192);
    device.immediate = false;
    const server = await startServer(t, device, { onError: (error) => seen.push(error.code) });
    const client = await startClient(t, server, { structured });
    const table: [unknown, number, number][] = [
      ["ENOSPC", replyError.ENOSPC, replyError.ENOSPC],
      ["EROFS", replyError.EPERM, replyError.EPERM],
      ["EINVAL", replyError.EINVAL, replyError.EINVAL],
      ["EIO", replyError.EIO, replyError.EIO],
      ["ENOMEM", replyError.ENOMEM, replyError.ENOMEM],
      ["ERR_PINFOLD_NO_FRAMES", replyError.ENOMEM, replyError.ENOMEM],
      ["ENOTSUP", replyError.ENOTSUP, replyError.ENOTSUP],
      ["EBADF", replyError.ESHUTDOWN, replyError.ESHUTDOWN],
      ["EFBIG", replyError.ENOSPC, replyError.EINVAL],
      ["ERR_PINFOLD_OUT_OF_RANGE", replyError.ENOSPC, replyError.EINVAL],
      ["ERR_PINFOLD_DATA_LOST", replyError.EIO, replyError.EIO],
      [undefined, replyError.EIO, replyError.EIO],
    ];
    for (const [code, forWrites, forReads] of table) {
      device.before = () => {
        throw code === undefined ? new TypeError("a defect") : new PinfoldError(code as ErrorCode, "as the test wants");
      };
      await assert.rejects(client.write(0, pattern(100)), refusedWith(forWrites), `write ${String(code)}`);
      await assert.rejects(client.read(0, 100), refusedWith(forReads), `read ${String(code)}`);
      await assert.rejects(client.flush(), refusedWith(forReads), `flush ${String(code)}`);
    }
    assert.equal(seen.length, 3 * table.length);
    device.before = () => {};
    assert.equal((await client.read(0, 100)).length, 100);
  });
}

test("error messages of structured replies name the place, not this machine", async (t) => {
  const device = new ArrayDevice(8192);
  device.immediate = false;
  device.before = () => {
    throw new PinfoldError("EIO", "disk /secret/path failed");
  };
  const server = await startServer(t, device);
  const client = await startClient(t, server, { structured: true });
  await assert.rejects(client.read(512, 100), /read of 100 bytes at 512: EIO$/);
});

test("an error that is thrown on the fast path is answered, too", async (t) => {
  const device = new ArrayDevice(8192);
  const fail = (): never => {
    throw new PinfoldError("ENOSPC", "full");
  };
  device.tryRead = fail;
  device.tryWrite = fail;
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  await assert.rejects(client.write(0, pattern(100)), refusedWith(replyError.ENOSPC));
  await assert.rejects(client.read(0, 100), refusedWith(replyError.ENOSPC));
  assert.deepEqual([server.stats().errors, server.stats().replyBytes], [2, 0]);
});

test("a read-only export refuses to change", async (t) => {
  const device = new ArrayDevice(8192, { readOnly: true });
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  await assert.rejects(client.write(0, pattern(4096)), refusedWith(replyError.EPERM));
  await assert.rejects(client.trim(0, 4096), refusedWith(replyError.EPERM));
  await assert.rejects(client.writeZeroes(0, 4096), refusedWith(replyError.EPERM));
  await client.flush();
  assert.deepEqual(device.calls, { flush: 1 });
});

test("unknown commands and flags are invalid", async (t) => {
  const server = await startServer(t, new ArrayDevice(8192));
  const client = await startClient(t, server);
  for (const type of [7, 8, 65_535]) {
    await assert.rejects(client.request(type, 0, 512), refusedWith(replyError.EINVAL));
  }
  const wrong: [number, number][] = [
    [command.read, commandFlag.noHole],
    [command.read, commandFlag.df],
    [command.read, 0x8000],
    [command.trim, commandFlag.fastZero],
    [command.flush, commandFlag.noHole],
  ];
  for (const [type, flags] of wrong) {
    await assert.rejects(client.request(type, 0, 512, flags), refusedWith(replyError.EINVAL), `${type} ${flags}`);
  }
  await assert.rejects(
    client.request(command.write, 0, 512, commandFlag.df, pattern(512)),
    refusedWith(replyError.EINVAL),
  );
  assert.equal(server.stats().requests.unknown, 3);
});

test("requests of no bytes succeed and do nothing", async (t) => {
  for (const structured of [false, true]) {
    const device = new ArrayDevice(8192);
    const server = await startServer(t, device);
    const client = await startClient(t, server, { structured });
    assert.equal((await client.read(8192, 0)).length, 0);
    await client.write(8192, Buffer.alloc(0), { fua: true });
    await client.trim(0, 0);
    await client.writeZeroes(0, 0);
    await client.cache(0, 0);
    assert.deepEqual(device.calls, {});
  }
});

test("FUA is answered after the range is durable, on every command that writes", async (t) => {
  const device = new ArrayDevice(2 * MiB);
  const durable: string[] = [];
  device.before = async (call, position, length) => {
    if (call !== "flushRange") return;
    await pause(5);
    durable.push(`${position}+${length}`);
  };
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  await client.write(512, pattern(512), { fua: true });
  assert.deepEqual(durable, ["512+512"]);
  await client.write(0, pattern(MiB), { fua: true });
  await client.trim(4096, 4096, commandFlag.fua);
  await client.writeZeroes(8192, 4096, commandFlag.fua);
  assert.deepEqual(durable, ["512+512", `0+${MiB}`, "4096+4096", "8192+4096"]);
  device.before = (call) => {
    if (call === "flushRange") throw new PinfoldError("EIO", "not durable");
  };
  await assert.rejects(client.write(512, pattern(512), { fua: true }), refusedWith(replyError.EIO));
});

test("writing zeros may punch unless NO_HOLE, and then comes in pieces", async (t) => {
  const device = new ArrayDevice(3 * MiB);
  device.bytes.fill(1);
  const lengths: number[] = [];
  device.before = (call, _position, length) => void (call === "writeZeroes" && lengths.push(length));
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  await client.writeZeroes(100, 2 * MiB);
  assert.deepEqual(lengths, [2 * MiB]);
  assert.ok(device.bytes.subarray(100, 100 + 2 * MiB).every((byte) => byte === 0));
  lengths.length = 0;
  await client.writeZeroes(100, MiB, commandFlag.noHole);
  assert.equal(lengths.length, 5);
  await assert.rejects(client.writeZeroes(0, 4096, commandFlag.fastZero), refusedWith(replyError.ENOTSUP));
});

test("a long structured read comes in pieces, with DF in one", async (t) => {
  const device = new ArrayDevice(2 * MiB);
  device.bytes.set(pattern(2 * MiB));
  const server = await startServer(t, device);
  const client = await startClient(t, server, { structured: true });
  assert.ok((await client.read(1000, MiB)).equals(device.bytes.subarray(1000, 1000 + MiB)));
  assert.equal(client.chunks, 5);
  assert.ok((await client.read(1000, MiB, commandFlag.df)).equals(device.bytes.subarray(1000, 1000 + MiB)));
  assert.equal(client.chunks, 6);
});

test("a read that fails midway answers the error once, and nothing follows", async (t) => {
  for (const structured of [false, true]) {
    const device = new ArrayDevice(2 * MiB);
    device.immediate = false;
    device.before = (call, position) => {
      if (call === "read" && position >= MiB) throw new PinfoldError("EIO", "bad block");
    };
    const server = await startServer(t, device);
    const client = await startClient(t, server, { structured });
    await assert.rejects(client.read(0, 2 * MiB), refusedWith(replyError.EIO));
    assert.equal((await client.read(0, 512)).length, 512);
    await until(() => server.stats().replyBytes === 0, "the budget to be given back");
  }
});

test("a write that fails midway answers the error", async (t) => {
  const device = new ArrayDevice(2 * MiB);
  device.immediate = false;
  device.before = (call, position) => {
    if (call === "write" && position >= MiB) throw new PinfoldError("ENOSPC", "full");
  };
  const server = await startServer(t, device);
  const client = await startClient(t, server);
  await assert.rejects(client.write(0, pattern(2 * MiB)), refusedWith(replyError.ENOSPC));
  assert.equal(server.stats().receiveBytes, 0);
});

test("requests longer than the largest are refused, and a write's payload is skipped", async (t) => {
  const device = new ArrayDevice(128 * MiB);
  const server = await startServer(t, device);
  const long = limits.nbdRequestBytesMax + 1;
  const structured = await startClient(t, server, { structured: true });
  await assert.rejects(structured.read(0, long), refusedWith(replyError.EOVERFLOW));
  const client = await startClient(t, server);
  await assert.rejects(client.read(0, long), refusedWith(replyError.EINVAL));
  await assert.rejects(client.write(0, Buffer.alloc(long)), refusedWith(replyError.EINVAL));
  assert.equal((await client.read(0, 512)).length, 512);
  const endless = client.request(command.write, 0, limits.nbdSkipBytesMax + 1, 0, Buffer.alloc(100));
  await assert.rejects(endless, /ended/);
  assert.deepEqual(device.calls, { read: 1 });
});

test("replies come in the order in which requests finish", async (t) => {
  const device = new ArrayDevice(8192);
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  device.immediate = false;
  device.before = (call, position) => (call === "read" && position === 0 ? held : undefined);
  const server = await startServer(t, device);
  const client = await startClient(t, server, { structured: true });
  const slow = client.read(0, 512);
  await client.read(512, 512);
  await client.write(0, pattern(10));
  assert.equal(server.stats().inFlight, 1);
  release();
  await slow;
  assert.deepEqual(client.replyOrder, [1, 2, 0]);
});

test("a flush is handed on after the writes answered before it, from any connection", async (t) => {
  const device = new ArrayDevice(MiB);
  const order: string[] = [];
  device.immediate = false;
  device.before = async (call) => {
    await pause(3);
    order.push(call);
  };
  const server = await startServer(t, device);
  const [a, b] = [await startClient(t, server), await startClient(t, server)];
  await a.write(0, pattern(512));
  await b.flush();
  assert.deepEqual(order, ["write", "flush"]);
});

test("several exports keep their bytes apart, connections of one share them", async (t) => {
  const server = await startServer(
    t,
    new Map([
      ["a", new ArrayDevice(4096)],
      ["b", new ArrayDevice(4096)],
    ]),
  );
  const [a1, a2, b] = await Promise.all(["a", "a", "b"].map((name) => startClient(t, server, { name })));
  await a1?.write(0, pattern(100));
  assert.ok((await a2?.read(0, 100))?.equals(pattern(100)));
  assert.ok((await b?.read(0, 100))?.equals(Buffer.alloc(100)));
});
