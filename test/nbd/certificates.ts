/**
 * Certificates and pre-shared keys of a test, made by OpenSSL's program, in folders as libnbd and QEMU read them.
 *
 *   ca-cert.pem, other-ca.pem       two authorities; clients and the server are by the first
 *   server-cert.pem, server-key.pem for localhost and 127.0.0.1
 *   NAME/{ca-cert,client-cert,client-key}.pem
 *
 * See also: tls.test.ts, test/real/tls.test.ts.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { scratchFolder } from "./fixture.js";

export interface Client {
  readonly name: string;
  readonly cert: string;
  readonly key: string;
}

/** `names`: X.509's alternative names, as OpenSSL writes them. `by`: which authority; `days` may be in the past. */
interface Wanted {
  readonly name: string;
  readonly names?: string;
  readonly by?: "ca" | "other";
  readonly expired?: boolean;
}

/** False, and the test is skipped by name, without OpenSSL's program. */
export function hasOpenSsl(t: TestContext): boolean {
  if (spawnSync("openssl", ["version"]).status === 0) return true;
  t.skip("not installed: openssl");
  return false;
}

export class Certificates {
  readonly folder: string;

  constructor(t: TestContext) {
    this.folder = scratchFolder(t);
    this.#authority("ca", "ca-cert.pem");
    this.#authority("other", "other-ca.pem");
    this.#issue("server", { name: "pinfold test", names: "DNS:localhost,IP:127.0.0.1" });
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  text(...parts: string[]): string {
    return readFileSync(this.path(...parts), "utf8");
  }

  /** What NbdServer takes. */
  get server(): { certificate: string; key: string; authority: string } {
    return {
      certificate: this.text("server-cert.pem"),
      key: this.text("server-key.pem"),
      authority: this.text("ca-cert.pem"),
    };
  }

  client(wanted: Wanted): Client {
    const { name } = wanted;
    mkdirSync(this.path(name), { recursive: true });
    this.#issue(join(name, "client"), wanted);
    copyFileSync(this.path("ca-cert.pem"), this.path(name, "ca-cert.pem"));
    return { name, cert: this.text(name, "client-cert.pem"), key: this.text(name, "client-key.pem") };
  }

  #openssl(...args: string[]): void {
    execFileSync("openssl", args, { cwd: this.folder, stdio: ["ignore", "ignore", "pipe"] });
  }

  #authority(name: string, file: string): void {
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    this.#openssl("req", "-x509", ...curve, "-keyout", `${name}-key.pem`, "-out", file, "-subj", `/CN=${name}`);
  }

  #issue(path: string, { name, names, by = "ca", expired = false }: Wanted): void {
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    this.#openssl("req", ...curve, "-keyout", `${path}-key.pem`, "-out", `${path}.csr`, "-subj", `/CN=${name}`);
    chmodSync(this.path(`${path}-key.pem`), 0o600);
    const lines = ["basicConstraints=CA:false", ...(names === undefined ? [] : [`subjectAltName=${names}`])];
    writeFileSync(this.path(`${path}.ext`), `${lines.join("\n")}\n`);
    const authority = ["-CA", by === "ca" ? "ca-cert.pem" : "other-ca.pem", "-CAkey", `${by}-key.pem`];
    const days = ["-days", expired ? "-1" : "2", "-CAcreateserial"];
    const files = ["-in", `${path}.csr`, "-extfile", `${path}.ext`, "-out", `${path}-cert.pem`];
    this.#openssl("x509", "-req", ...files, ...authority, ...days);
  }
}
