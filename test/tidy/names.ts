/** Names and sizes of files and functions, and the comment that every source file opens with. */
import ts from "typescript-api";
import { complain, lineOf, parse, sourcesBelow, type TreeFile, walk } from "./tree.js";

const codeFolders = ["src", "test", "scripts", "examples", "explore"];
const kebabCase = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|d))*(\.[a-z0-9]+)?$/;
const forbiddenWords = ["util", "utils", "common", "manager", "helper", "helpers"];
const fileLinesMax = 400;
const testLinesMax = 800;
/** Functions stay under this. */
const functionLinesLimit = 70;

export function checkNames(files: readonly TreeFile[]): string[] {
  const complaints: string[] = [];
  for (const { path } of files.filter((file) => codeFolders.some((folder) => file.path.startsWith(`${folder}/`)))) {
    for (const part of path.split("/").filter((name) => name !== "README.md")) {
      if (!kebabCase.test(part)) complaints.push(`${path}:1: "${part}" is not kebab-case`);
      const word = part.split(/[-.]/).find((piece) => forbiddenWords.includes(piece));
      if (word !== undefined) complaints.push(`${path}:1: "${word}" names nothing; say what it holds`);
    }
  }
  return complaints;
}

export function checkFileLengths(files: readonly TreeFile[]): string[] {
  return sourcesBelow(files, ...codeFolders).flatMap(({ path, text }) => {
    const lines = text.replace(/\n$/, "").split("\n").length;
    const linesMax = path.startsWith("test/") ? testLinesMax : fileLinesMax;
    return lines <= linesMax ? [] : [`${path}:${linesMax + 1}: ${lines} lines, at most ${linesMax}`];
  });
}

export function checkOpeningComments(files: readonly TreeFile[]): string[] {
  return sourcesBelow(files, "src", "explore", "scripts").flatMap(({ path, text }) =>
    /^(#![^\n]*\n)?\/\*/.test(text) ? [] : [`${path}:1: opens with no block comment that says what it is`],
  );
}

export function checkFunctionLengths(files: readonly TreeFile[]): string[] {
  return sourcesBelow(files, "src", "explore", "scripts").flatMap((file) => {
    const source = parse(file);
    const complaints: string[] = [];
    walk(source, (node) => {
      if (!ts.isFunctionLike(node) || !("body" in node) || node.body === undefined) return;
      const lines = lineOf(source, node.end) - lineOf(source, node.getStart(source)) + 1;
      if (lines < functionLinesLimit) return;
      complaints.push(
        complain(source, node, `function ${nameOf(node)} has ${lines} lines, under ${functionLinesLimit}`),
      );
    });
    return complaints;
  });
}

function nameOf(node: ts.SignatureDeclaration): string {
  if (node.name !== undefined) return node.name.getText();
  return ts.isVariableDeclaration(node.parent) ? node.parent.name.getText() : "without a name";
}
