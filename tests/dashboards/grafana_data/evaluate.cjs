// Evaluates panels with Grafana's own library, without a browser: transformations, field configuration, reducers, texts.
// Usage: node evaluate.cjs <bundle of @grafana/data>; reads a JSON list of panels from stdin, writes a list of results.
"use strict";

globalThis.navigator ??= { language: "en-US", languages: ["en-US"] };
const grafana = require(process.argv[2]);
globalThis.window ??= globalThis; // only now: the library looks for a whole browser when it is loaded

const transformers = new Map(Object.values(grafana.standardTransformers).map((one) => [one.id, one]));
grafana.standardTransformersRegistry.setInit(() =>
  [...transformers.values()].map((one) => ({ id: one.id, name: one.name, transformation: async () => one })),
);

const theme = grafana.createTheme();
const interpolate = (text) => text;
const plain = (id, custom) => ({ id, path: id, name: id, isCustom: custom, process: (value) => value, shouldApply: () => true });

// Grafana itself registers these properties in its application, not in the library.
function registry(config) {
  const standard = ["color", "decimals", "displayName", "links", "mappings", "max", "min", "noValue", "thresholds", "unit"];
  const used = config.overrides.flatMap((one) => one.properties.map((property) => property.id));
  const custom = [...new Set(used)].filter((id) => id.startsWith("custom."));
  const items = standard.map((id) => plain(id, false));
  items.push(...custom.map((id) => ({ ...plain(id, true), path: id.slice("custom.".length) })));
  return new grafana.FieldConfigOptionsRegistry(() => items);
}

function transformed(panel, frames) {
  return new Promise((resolve, reject) => {
    const context = { interpolate };
    grafana.transformDataFrame(panel.transformations ?? [], frames, context).subscribe({ next: resolve, error: reject });
  });
}

async function evaluated({ panel, frames }) {
  const fieldConfig = panel.fieldConfig;
  const given = await transformed(panel, frames.map((frame) => grafana.toDataFrame(frame)));
  const data = grafana.applyFieldOverrides({
    data: given,
    fieldConfig,
    fieldConfigRegistry: registry(fieldConfig),
    replaceVariables: interpolate,
    theme,
    timeZone: "utc",
  });
  const text = (shown) => grafana.formattedValueToString(shown);
  const calcs = panel.options.legend?.calcs ?? [];
  const result = { frames: [], stats: [], legend: [] };
  for (const frame of data) {
    const fields = frame.fields.map((field) => {
      const shown = [...field.values].map((value) => field.display(value));
      return {
        name: grafana.getFieldDisplayName(field, frame, data),
        field: field.name,
        type: field.type,
        values: [...field.values],
        texts: shown.map(text),
        colors: shown.map((one) => one.color ?? null),
      };
    });
    result.frames.push({ refId: frame.refId ?? null, fields });
    for (const field of frame.fields.filter((one) => one.type === "number")) {
      const reduced = grafana.reduceField({ field, reducers: [...calcs] });
      const texts = Object.fromEntries(calcs.map((calc) => [calc, text(field.display(reduced[calc]))]));
      result.legend.push({ name: grafana.getFieldDisplayName(field, frame, data), texts });
    }
  }
  if (panel.options.reduceOptions) {
    const values = grafana.getFieldDisplayValues({
      data,
      fieldConfig,
      reduceOptions: panel.options.reduceOptions,
      replaceVariables: interpolate,
      theme,
      timeZone: "utc",
    });
    result.stats = values.map((one) => ({
      name: one.display.title ?? "",
      value: one.display.numeric,
      text: text(one.display),
      color: one.display.color ?? null,
    }));
  }
  return result;
}

function units() {
  return grafana.getValueFormats().flatMap((category) => category.submenu.map((format) => format.value));
}

async function main() {
  const panels = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const results = [];
  for (const panel of panels) {
    results.push(await evaluated(panel));
  }
  process.stdout.write(JSON.stringify({ units: units(), results }));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
