// The dashboard: fetches /now every two seconds, and draws it. Sets all data as text, never as
// markup.
"use strict";
const EVERY_MS = 2000, KEPT = 150, SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const past = { events: [], predictions: [], skips: [], lag: [], p99: [] };
const TEXT = new Set(["status", "log", "skips", "fold", "in charge", "candidate", "request", "version", "own bundle", "loaded", "refused"]);
let before = null;

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.map((c) => (c === null || c === undefined ? "–" : c)));
  return node;
}
function draw(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
const number = (x, digits = 0) => x === null || x === undefined || Number.isNaN(x) ? "–"
  : x.toLocaleString("en", { maximumFractionDigits: digits });
const when = (ms) => ms === null || Math.abs(ms) > 8.64e15 ? "–" : new Date(ms).toISOString().replace("T", " ").slice(0, 19);

function spark(values) {
  const known = values.filter((v) => v !== null), most = Math.max(...known, 1e-9);
  const points = values.map((v, i) => v === null ? null : `${(100 * (KEPT - values.length + i) / (KEPT - 1)).toFixed(1)},${(28 - 26 * v / most).toFixed(1)}`);
  return draw("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("polyline", { points: points.filter(Boolean).join(" "), fill: "none", stroke: "currentColor", "stroke-width": "1", "vector-effect": "non-scaling-stroke" }));
}
function tile(name, text, values) { return make("div", { class: "tile" }, name, make("b", {}, text), spark(values)); }
function push(list, value) { list.push(value); if (list.length > KEPT) list.shift(); }

function rates(now) {
  // Sum the increases per worker: the counters of a worker end with it, and those of a new one start anywhere.
  const sums = { at: now.at_s, of: new Map(now.workers.filter((w) => w.counters).map((w) => [w.address, w.counters])) };
  const since = before ? sums.at - before.at : 0;
  for (const name of ["events", "predictions", "skips"]) {
    const grown = [...sums.of].filter(([a, c]) => since > 0 && before.of.has(a) && c[name] >= before.of.get(a)[name]).map(([a, c]) => c[name] - before.of.get(a)[name]);
    push(past[name], grown.length ? grown.reduce((a, b) => a + b, 0) / since : null);
  }
  before = sums;
  const lags = now.partitions.map((p) => p.lag);
  push(past.lag, lags.every((l) => l !== null) ? lags.reduce((a, b) => a + b, 0) : null);
  push(past.p99, now.latency_ms ? now.latency_ms.p99 : null);
  const last = (name) => past[name][past[name].length - 1];
  const delay = now.latency_ms ? `${number(now.latency_ms.p50)} / ${number(now.latency_ms.p99)} ms` : "–";
  $("tiles").replaceChildren(
    tile("events per second", number(last("events")), past.events),
    tile("predictions per second", number(last("predictions")), past.predictions),
    tile("skips per second", number(last("skips"), 1), past.skips),
    tile("lag in records", number(last("lag")), past.lag),
    tile("latency p50 / p99", delay, past.p99));
}

function scale(p) {
  const span = Math.max(1, p.log_end - p.log_start), at = (x) => 100 * Math.min(1, Math.max(0, (x - p.log_start) / span));
  const parts = [draw("rect", { class: "log", x: 0, y: 6, width: "100%", height: 8, rx: 2 })];
  if (p.position !== null) parts.push(draw("rect", { class: "done", x: 0, y: 6, width: at(p.position) + "%", height: 8, rx: 2 }));
  const mark = (value, style, y, height) => value === null ? [] :
    [draw("rect", { class: style, x: at(value) + "%", transform: "translate(-2 0)", y, width: 4, height })];
  parts.push(...mark(p.origin !== null && p.origin >= p.log_start ? p.origin : null, "om", 3, 14));
  parts.push(...mark(p.group_offset, "cm", 9, 11), ...mark(p.position, "pm", 0, 11));
  const text = `log start ${p.log_start}, position ${p.position ?? "–"}, group offset ${p.group_offset ?? "–"}, log end ${p.log_end}`;
  return draw("svg", { role: "img", "aria-label": text }, draw("title", {}, text), ...parts);
}
function state(p, isKnown, fold) {
  const isReplaced = p.in_charge && p.in_charge !== fold && !p.silent;
  if (isKnown && !p.owner) return make("span", { class: "bad" }, p.position === null ? "no worker, no position" : "no worker");
  if (p.torn) return make("span", { class: "bad" }, "torn: a worker rebuilds the states");
  if (p.position === null) return make("span", { class: isReplaced ? "quiet" : "bad" }, isReplaced ? "no states of this fold" : "no position");
  if (p.position < p.log_start) return make("span", { class: "bad" }, "history lost");
  // Only the worker knows whether it folds silently: in every micro-batch, the position is briefly below the group offset.
  if (p.silent) return make("span", { class: "bad" }, "rebuilding");
  if (isReplaced) return make("span", { class: "quiet" }, "another fold is in charge");
  return make("span", { class: "good" }, p.lag ? "folding" : "up to date");
}
function head(...names) { return make("thead", {}, make("tr", {}, ...names.map((n) => make("th", TEXT.has(n) ? { class: "text" } : {}, n)))); }
function partitions(rows, isKnown, fold) {
  const body = rows.map((p) => make("tr", {}, make("td", {}, String(p.partition)), make("td", { class: "text" }, state(p, isKnown, fold)),
    make("td", { class: "scale" }, scale(p)), make("td", {}, number(p.log_start)), make("td", {}, number(p.position)), make("td", {}, number(p.group_offset)),
    make("td", {}, number(p.log_end)), make("td", {}, number(p.lag)), make("td", {}, number(p.keys)), make("td", {}, when(p.stream_time_ms))));
  $("partitions").replaceChildren(head("partition", "status", "log", "log start", "position", "group offset", "log end", "lag", "keys", "stream time, UTC"), make("tbody", {}, ...body));
}
function workers(rows) {
  const body = rows.map((w) => {
    const status = !w.live ? ["bad", "does not answer"] : w.ready ? ["good", "ready"] : ["bad", w.reasons.join("; ")];
    const skips = Object.entries(w.skips || {}).filter(([, n]) => n > 0).map(([reason, n]) => `${reason} ${number(n)}`).join(", ");
    return make("tr", {}, make("td", {}, w.address), make("td", { class: "wide" }, make("span", { class: status[0] }, status[1])),
      make("td", {}, Object.keys(w.partitions || {}).join(" ") || "–"), make("td", {}, number((w.counters || {}).events)), make("td", {}, number((w.counters || {}).filtered)),
      make("td", {}, w.rss_bytes ? number(w.rss_bytes / 1e6) : "–"), make("td", { class: "text" }, (w.about || {}).fold), make("td", { class: "wide" }, skips || "–"));
  });
  if (!rows.length) body.push(make("tr", {}, make("td", { colspan: 8 }, "No worker of this app answers on the default ports of this machine; give the addresses with --worker.")));
  $("workers").replaceChildren(head("address", "status", "partitions", "events", "filtered", "memory, MB", "fold", "skips"), make("tbody", {}, ...body));
}
function rollout(now) {
  // Which fold is in charge is shown without a plan, too: a roll-out that is over leaves the new one there.
  const others = new Map();
  for (const p of now.partitions) if (p.in_charge && p.in_charge !== now.fold.id && !p.silent) others.set(p.in_charge, [...(others.get(p.in_charge) || []), p.partition]);
  const charges = [...others].map(([fold, of]) => `fold ${fold} of ${of.length === now.partitions.length ? "all partitions" : (of.length > 1 ? "partitions " : "partition ") + of.join(" ")}`);
  $("replaced").hidden = !charges.length;
  $("replaced").textContent = `This page shows fold ${now.fold.id}. In charge is ${charges.join(", ")}: for its positions, keys and predictions, open the dashboard with the bundle of that fold.`;
  const r = now.rollout;
  $("rollout").hidden = !r;
  if (!r) return;
  if (r.error) {
    $("rollout-about").textContent = r.error;
    $("rollout-partitions").replaceChildren(); $("rollout-workers").replaceChildren();
    return;
  }
  const since = r.since_ms ? `, started ${when(r.since_ms)} UTC${r.started_by ? ` by ${r.started_by}` : ""}` : "";
  $("rollout-about").textContent = `${r.stage}: old is fold ${r.old}, new is fold ${r.new}${since}. This page's bundle is ${now.fold.id === r.old ? "old" : now.fold.id === r.new ? "new" : "neither"}.`;
  $("rollout-partitions").replaceChildren(
    head("partition", "in charge", "cut-overs", "last one at", "group offset", "candidate", "candidate's position", "lag", "keys", "request"),
    make("tbody", {}, ...r.partitions.map((p) => make("tr", {}, make("td", {}, String(p.partition)), make("td", { class: "text" }, p.in_charge),
      make("td", {}, number(p.number)), make("td", {}, !p.number ? "–" : p.cut_over === null ? "no prediction since" : number(p.cut_over)), make("td", {}, number(p.group_offset)),
      make("td", { class: "text" }, p.candidate === null ? "–" : p.position === null ? `${p.candidate}, not begun` : p.candidate),
      make("td", {}, number(p.position)), make("td", {}, number(p.lag)), make("td", {}, number(p.keys)),
      make("td", { class: "text" }, p.pending ? `${p.pending.kind} ${p.pending.fold}, number ${p.pending.number}${p.pending.holds ? "" : ": its states began again since, promote again"}` : "–")))));
  $("rollout-workers").replaceChildren(
    head("worker", "version", "own bundle", "loaded", "refused", "candidates of", "events per second"),
    make("tbody", {}, ...r.workers.map((w) => w.report === null
      ? make("tr", {}, make("td", { class: "wide" }, w.worker), make("td", { class: "text", colspan: 6 }, make("span", { class: "bad" }, "no report: it has just started, or its version knows no roll-outs")))
      : make("tr", {}, make("td", { class: "wide" }, w.worker), make("td", { class: "text" }, w.report.version), make("td", { class: "text" }, w.report.own),
        make("td", { class: "text" }, w.report.loaded.join(" ")), make("td", { class: "wide" }, ...(Object.keys(w.report.refused).length
          ? [make("span", { class: "bad" }, Object.entries(w.report.refused).map(([fold, why]) => `${fold}: ${why}`).join("; "))] : ["–"])),
        make("td", {}, w.report.candidates.join(" ") || "–"), make("td", {}, number(w.report.events_per_s))))));
  if (!r.workers.length) $("rollout-workers").append(make("tbody", {}, make("tr", {}, make("td", { colspan: 7 }, "No worker runs."))));
}
function outputs(distributions, sample) {
  const none = !sample.has_topic ? "The predictions topic does not exist yet; the first worker creates it."
    : !sample.has_begun ? "Reading the last predictions." : !sample.records && !sample.offsets ? "The predictions topic is empty."
    : !sample.records ? `The last ${number(sample.offsets)} offsets of the predictions topic contain no committed record.`
    : `The last ${number(sample.records)} records of the predictions topic contain no prediction of this bundle.`;
  const figures = Object.entries(distributions).map(([name, d]) => {
    const most = Math.max(...d.counts, 1), total = d.counts.reduce((a, b) => a + b, 0);
    if (d.kind === "classes") {
      const rows = d.labels.flatMap((label, i) => [make("span", { title: label }, label),
        make("meter", { min: 0, max: most, value: d.counts[i] }), make("span", {}, number(100 * d.counts[i] / total, 1) + " %")]);
      return make("figure", {}, make("figcaption", {}, name), make("div", { class: "classes" }, ...rows));
    }
    const bars = d.counts.map((n, i) => draw("rect", { x: i * 5 + .3, width: 4.4, y: 50 - 48 * n / most, height: 48 * n / most }));
    return make("figure", {}, make("figcaption", {}, name), draw("svg", { viewBox: "0 0 100 50", preserveAspectRatio: "none", role: "img", "aria-label": `distribution of ${name}` }, ...bars),
      make("div", { class: "ends quiet" }, make("span", {}, number(d.edges[0], 2)), make("span", {}, number(d.edges[d.edges.length - 1], 2))));
  });
  $("outputs").replaceChildren(...(figures.length ? figures : [make("p", { class: "quiet" }, none)]));
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(25000) }), body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}
function trouble(text) { $("trouble").textContent = text; $("trouble").hidden = !text; }
async function refresh() {
  try {
    const now = await ask("now");
    $("title").textContent = `${now.fold.app}: ${now.fold.source} → ${now.fold.predictions}`;
    $("about").textContent = `model ${now.fold.model} ${now.fold.fingerprint}, fold ${now.fold.id}`;
    document.title = `${now.fold.app} · stream_rnn`;
    rates(now); partitions(now.partitions, now.workers.length > 0, now.fold.id); rollout(now); workers(now.workers); outputs(now.outputs, now.sample);
    trouble("");
  } catch (error) { trouble(`The dashboard got no answer: ${error.message}`); }
  setTimeout(refresh, EVERY_MS);
}

function heat(hidden) {
  const columns = Math.min(32, hidden.length), size = 20, rows = Math.ceil(hidden.length / columns);
  const most = Math.max(...hidden.map(Math.abs), 1e-6);
  const cells = hidden.map((v, i) => draw("rect", { x: (i % columns) * size, y: Math.floor(i / columns) * size, width: size - 1, height: size - 1,
    fill: v < 0 ? "var(--c)" : "var(--p)", "fill-opacity": Math.abs(v) / most }, draw("title", {}, `${i}: ${v.toFixed(4)}`)));
  return draw("svg", { class: "hidden-state", viewBox: `0 0 ${columns * size} ${rows * size}`, role: "img", "aria-label": "hidden state" }, ...cells);
}
$("look").addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = $("answer");
  place.replaceChildren(make("p", { class: "quiet" }, "Reading from Redis and Kafka."));
  try {
    const answer = await ask("key?key=" + encodeURIComponent($("key").value)), parts = [];
    if (!answer.states.length) parts.push(make("p", { class: "quiet" }, `Redis has no hidden state of ${answer.key}.${answer.similar.length ? ` Similar keys that have one: ${answer.similar.join("; ")}.` : ""}`));
    for (const s of answer.states)
      parts.push(make("p", {}, `${answer.key}: partition ${s.partition}, ${number(s.steps)} steps, last event ${when(s.last_ms)} UTC`),
        heat(s.hidden), make("p", { class: "quiet" }, "Hidden state: blue is above 0, orange below; a stronger color is further from 0."));
    if (answer.predictions.length) parts.push(make("p", {}, "Last predictions:"));
    for (const p of answer.predictions.slice().reverse())
      parts.push(make("pre", {}, `${when(p.event_time_ms)}  step ${p.steps}  ${JSON.stringify(p.outputs)}${p.surprise ? `  surprise ${JSON.stringify(p.surprise)}` : ""}`));
    place.replaceChildren(...parts);
  } catch (error) { place.replaceChildren(make("p", { class: "bad" }, error.message)); }
});
refresh();
