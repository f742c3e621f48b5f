// Makes movies.json out of the file of the same name in the npm package `vega-datasets`:
//
//     npm pack vega-datasets@3.2.1 && tar xzf vega-datasets-3.2.1.tgz
//     node trim.mjs package/data/movies.json > movies.json
//
// It keeps the columns the catalogue shows, under shorter names, drops absent values, and repairs
// accented letters (Windows-1252 bytes that were once read as Mac Roman). Values are not corrected
// here: numbers for titles and dates a century off are the importer's business (../import.rs).

import { readFileSync } from "node:fs";

const COLUMNS = {
  "Title": "title",
  "Release Date": "released",
  "Major Genre": "genre",
  "Director": "director",
  "MPAA Rating": "rated",
  "Running Time min": "minutes",
  "Source": "source",
  "Distributor": "distributor",
  "IMDB Rating": "imdb",
  "IMDB Votes": "votes",
  "Rotten Tomatoes Rating": "tomatoes",
  "Production Budget": "budget",
  "US Gross": "us_gross",
  "Worldwide Gross": "world_gross",
};

const macRoman = new TextDecoder("macintosh");
const repaired = new Map();
for (let byte = 0x80; byte <= 0xff; byte++) {
  repaired.set(macRoman.decode(Uint8Array.of(byte)), String.fromCharCode(byte));
}
// The one letter in use where Windows-1252 is not Latin-1.
repaired.set(macRoman.decode(Uint8Array.of(0x85)), "…");

function repair(value) {
  if (typeof value !== "string") return value;
  return [...value].map((letter) => repaired.get(letter) ?? letter).join("");
}

function trim(film) {
  const kept = Object.entries(COLUMNS).map(([column, name]) => [name, repair(film[column])]);
  return Object.fromEntries(kept.filter(([, value]) => value !== null && value !== undefined));
}

const films = JSON.parse(readFileSync(process.argv[2], "utf8"));
const lines = films.map((film) => JSON.stringify(trim(film)));
process.stdout.write(`[\n${lines.join(",\n")}\n]\n`);
