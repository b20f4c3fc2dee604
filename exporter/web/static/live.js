// The live view: councils, the last 50 events, one story's timeline. Fed by api/events/stream.
// What agents write is put on the page as text (textContent), never as HTML.
"use strict";

const SHOWN = 50;
const SIGNS = { idle: "●", deliberating: "↻", completed: "✓", failed: "✗", unknown: "?", unresponsive: "⚠" };
const byId = (id) => document.getElementById(id);
const cards = new Map(); // the card of each council, and the data that it shows
let clockOffset = 0; // milliseconds that the exporter's clock is ahead of this one

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

function showAges() {
  const now = Date.now() + clockOffset;
  for (const cell of document.querySelectorAll("[data-since]"))
    cell.textContent = span((now - Date.parse(cell.dataset.since)) / 1000);
}

function storyLink(story) {
  if (!story) return element("span");
  const link = element("button", story, "link");
  link.type = "button";
  link.addEventListener("click", () => showStory(story));
  return link;
}

function agentItem(agent) {
  const item = element("li");
  const name = element("span", agent.id, "name");
  const age = element("span", null, "age");
  age.dataset.since = agent.since;
  age.title = `in this state since ${agent.since}`;
  item.append(name, element("span", `${SIGNS[agent.state] || "?"} ${agent.state}`, `state ${agent.state}`), age);
  if (agent.task && agent.state !== "idle") item.append(element("span", agent.task, "task"));
  return item;
}

function matches(node, wanted) {
  return node.textContent.toLowerCase().includes(wanted);
}

// Hides agents and events without the text of the search field; a council whose title has it is shown whole.
function showMatching(places) {
  const wanted = byId("search").value.trim().toLowerCase();
  for (const place of places) {
    if (place.tagName === "TR") { place.hidden = !matches(place, wanted); continue; }
    const whole = matches(place.querySelector("h3"), wanted);
    const agents = [...place.querySelectorAll("li")];
    for (const agent of agents) agent.hidden = !whole && !matches(agent, wanted);
    place.hidden = !whole && agents.every((agent) => agent.hidden);
  }
}

function councilCard(council) {
  const data = JSON.stringify(council);
  const known = cards.get(council.role);
  if (known && known.data === data) return known.card;
  const card = element("div", null, "council");
  const expected = council.expected_size === null ? "" : ` of ${council.expected_size}`;
  const title = element("h3", `${council.role} `);
  title.append(element("small", `${council.ready} ready · ${council.size}${expected} agents · ${council.models.join(", ")}`));
  const list = element("ul");
  list.append(...council.agents.map(agentItem));
  card.append(title, list);
  cards.set(council.role, { card, data });
  showMatching([card]);
  return card;
}

function showFleet(fleet) {
  clockOffset = Date.parse(fleet.now) - Date.now();
  const councils = fleet.councils.map(councilCard);
  const shown = byId("councils").children;
  if (councils.length && (councils.length !== shown.length || councils.some((card, place) => card !== shown[place])))
    byId("councils").replaceChildren(...councils);
  const stages = (counts) => Object.entries(counts).map(([stage, count]) => `${count} ${stage}`).join(", ") || "none";
  byId("counts").textContent =
    `Stories: ${stages(fleet.stories)} · Tasks: ${stages(fleet.tasks)} · Deliberations in progress: ${fleet.deliberations}`;
  showAges();
}

function eventRow(event) {
  const row = element("tr");
  const story = element("td");
  story.append(storyLink(event.story));
  const what = element("td", event.summary);
  what.title = JSON.stringify(event.payload, null, 1).slice(0, 4000);
  row.append(element("td", new Date(event.time).toLocaleTimeString([], { hour12: false })),
    element("td", event.type, event.outcome === "failed" ? "failed" : ""), element("td", event.producer), story,
    element("td", event.agent), what);
  return row;
}

function showEvent(event) {
  const rows = byId("events").tBodies[0];
  const row = eventRow(event);
  rows.prepend(row);
  showMatching([row]);
  while (rows.rows.length > SHOWN) rows.deleteRow(-1);
}

function unreadText(streams) {
  return streams.length ? ` (incomplete: ${streams.join(", ")} cannot be read)` : "";
}

async function showStory(story) {
  const dialog = byId("story");
  const [title, about, list] = [dialog.querySelector("h2"), dialog.querySelector("p"), dialog.querySelector("ol")];
  title.textContent = story;
  about.textContent = "Reading the streams…";
  list.replaceChildren();
  if (!dialog.open) dialog.showModal();
  try {
    const reply = await fetch(`api/stories/${encodeURIComponent(story)}`);
    const found = await reply.json();
    if (!reply.ok) throw new Error(found.detail);
    about.textContent = `${found.story.title || ""} ${found.story.stage || ""} · ${found.events.length} events` +
      (found.stopped === "stream" ? " (incomplete: a stream does not respond; open the story again)" :
        found.truncated ? " (the streams hold more)" : "") + unreadText(Object.keys(found.skipped_streams));
    list.replaceChildren(...found.events.map((event) => element("li",
      [event.time, event.type, event.agent || event.producer, event.outcome === "none" ? "" : event.outcome, event.error]
        .filter(Boolean).join(" · "), event.outcome === "failed" ? "failed" : "")));
  } catch (error) {
    about.textContent = `Cannot read this story: ${error.message}`;
  }
}

const stream = new EventSource("api/events/stream?fleet=true&recent=50");
stream.addEventListener("open", () => { byId("events").tBodies[0].replaceChildren(); byId("connection").textContent = "live"; });
stream.addEventListener("error", () => { byId("connection").textContent = "disconnected; reconnecting"; });
stream.addEventListener("dropped", () => { byId("connection").textContent = "this page was too slow; reconnecting"; });
stream.addEventListener("event", (message) => showEvent(JSON.parse(message.data)));
stream.addEventListener("fleet", (message) => showFleet(JSON.parse(message.data)));
byId("search").addEventListener("input", () => showMatching(document.querySelectorAll(".council, #events tbody tr")));
setInterval(showAges, 1000);
