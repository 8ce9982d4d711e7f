// Prints the rows of a query, which DuckDB runs, as JSON: one object per line.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const path = createRequire(process.env.NODE_PATH + '/').resolve('@duckdb/node-api');
const { DuckDBInstance } = (await import(pathToFileURL(path))).default;
const connection = await (await DuckDBInstance.create(':memory:')).connect();
const result = await connection.runAndReadAll(process.argv[2]);
for (const row of result.getRowObjectsJson()) console.log(JSON.stringify(row));
