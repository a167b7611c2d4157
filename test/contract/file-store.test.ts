/**
 * The contract suite on the file store, on the file system of the temporary directory: buffered and direct, both page sizes.
 */
import { storeContract } from "../../src/testing/index.js";
import { fileOpener } from "./file-store-subject.js";

// The file system's own records (extent tree blocks) count in st_blocks.
const usedSlackBytes = 8192;

storeContract({ name: "file", open: fileOpener(), usedSlackBytes, seeds: [1, 2, 3, 4] });
storeContract({ name: "file, pages of 64 KiB", open: fileOpener(), usedSlackBytes, pageSize: 65_536, seeds: [1, 2] });
storeContract({
  name: "file, direct",
  open: fileOpener({ direct: true }),
  usedSlackBytes,
  randomSteps: 150,
  seeds: [1, 2],
});
storeContract({
  name: "file, direct, pages of 64 KiB",
  open: fileOpener({ direct: true }),
  usedSlackBytes,
  pageSize: 65_536,
  randomSteps: 150,
  seeds: [1, 2],
});
