/**
 * Tools of other projects that some tests drive Pinfold with. Where root and apt-get are there, missing ones are
 * installed; elsewhere they are named. A failure is not fatal: the tests that need a tool say so and do not run.
 * Never asks for other rights. PINFOLD_APT=0 switches the installing off.
 */
import { run, seconds, which } from "./shell.mjs";

const tools = [
  { program: "qemu-io", package: "qemu-utils", tests: "network block device against QEMU" },
  { program: "nbdinfo", package: "libnbd-bin", tests: "network block device against libnbd" },
  { program: "openssl", package: "openssl", tests: "network block device over TLS with certificates" },
  { program: "psktool", package: "gnutls-bin", tests: "network block device over TLS with pre-shared keys" },
  { program: "nbdkit", package: "nbdkit", tests: "stores over nbdkit's fault filters" },
  { program: "fio", package: "fio", tests: "random writes checked by fio" },
  { program: "fusermount3", package: "fuse3", tests: "mounts" },
  { program: "mkfs.xfs", package: "xfsprogs", tests: "an XFS image on the device" },
  { program: "mkfs.ext4", package: "e2fsprogs", tests: "an ext4 image on the device" },
  { program: "mkfs.btrfs", package: "btrfs-progs", tests: "full disks and promises on btrfs" },
];
const apt = ["-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "DPkg::Lock::Timeout=120"];

function missingTools() {
  return tools.filter((tool) => which(tool.program) === undefined);
}

/** Installs with apt-get, its output shown only when it fails. */
function install(packages) {
  const startMs = Date.now();
  console.log(`tools: apt-get install ${packages.join(" ")}`);
  const quiet = {
    stdio: ["ignore", "ignore", "inherit"],
    timeout: 300_000,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  };
  const aptInstall = (names) =>
    run("apt-get", [...apt, "install", "-y", "--no-install-recommends", ...names], quiet) === 0;
  if (run("apt-get", [...apt, "update"], quiet) === 0 && !aptInstall(packages)) {
    // One unknown name keeps all from being installed.
    for (const name of packages.length > 1 ? packages : []) aptInstall([name]);
  }
  console.log(`tools: done in ${seconds(startMs)} (not part of building or testing)`);
}

/** Returns the names of the programs that are still missing. */
export function debianTools() {
  let missing = missingTools();
  if (missing.length > 0 && process.env.PINFOLD_APT !== "0" && process.getuid?.() === 0 && which("apt-get")) {
    install(missing.map((tool) => tool.package));
    missing = missingTools();
  }
  for (const tool of missing) {
    console.log(`tools: no ${tool.program} (Debian package ${tool.package}): tests that will not run: ${tool.tests}`);
  }
  return missing.map((tool) => tool.program);
}

if (process.argv[1] === import.meta.filename) debianTools();
