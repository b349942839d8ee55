"use strict";
const rows = ["clients_connected", "clients_disconnected", "clients_maximum", "subscriptions", "retained", "inflight",
  "messages_received", "messages_sent", "messages_dropped", "packets_received", "packets_sent", "bytes_received", "bytes_sent",
  "memory_alloc", "threads", "uptime", "version"];

async function json(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status + " " + await answer.text());
  return answer.json();
}

// nodes returns [name, figures or an error] for all nodes, or for this broker alone.
async function nodes() {
  let list;
  try {
    list = await json("api/v1/cluster/nodes");
  } catch {
    return [["this broker", await json("api/v1/mqtt/stat/overall")]];
  }
  const told = await json("api/v1/cluster/stat/overall");
  return told.map((t, i) => [list[i] ? list[i].name : t.url, t.err ? new Error(t.err) : JSON.parse(t.data)]);
}

function row(into, tag, cells) {
  const tr = into.insertRow();
  for (const text of cells) {
    const cell = document.createElement(tag);
    if (text instanceof Error) { cell.className = "error"; cell.textContent = text.message; } else { cell.textContent = text; }
    tr.append(cell);
  }
}

async function show() {
  const state = document.getElementById("state");
  try {
    const all = await nodes();
    const head = document.getElementById("head"), body = document.getElementById("body");
    head.replaceChildren();
    body.replaceChildren();
    row(head, "th", ["", ...all.map(([name]) => name)]);
    for (const name of rows) {
      row(body, "td", [name.replaceAll("_", " "), ...all.map(([, f]) => f instanceof Error ? (name === rows[0] ? f : "") : f[name].toLocaleString())]);
    }
    state.className = "";
    state.textContent = all.length + (all.length === 1 ? " node, " : " nodes, ") + new Date().toLocaleTimeString();
  } catch (e) {
    state.className = "error";
    state.textContent = e.message;
  }
  setTimeout(show, 5000);
}
show();
