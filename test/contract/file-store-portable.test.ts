/**
 * The contract suite on the file store as it is where koffi cannot load. The environment variable is this process's own.
 */
import { storeContract } from "../../src/testing/index.js";
import { fileOpener } from "./file-store-subject.js";

process.env["PINFOLD_NO_KOFFI"] = "1";
process.removeAllListeners("warning"); // PINFOLD_NO_LOCK at each open; test/stores/file checks it

const options = {
  usedSlackBytes: 8192,
  cancelGivesBack: false,
  reservesPastEnd: false,
  allocates: false,
  seeds: [1, 2],
};
storeContract({ name: "file without koffi", open: fileOpener(), ...options });
storeContract({ name: "file without koffi, pages of 64 KiB", open: fileOpener(), pageSize: 65_536, ...options });
storeContract({ name: "file without koffi, direct", open: fileOpener({ direct: true }), randomSteps: 150, ...options });
