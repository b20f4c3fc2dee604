// Keeps the table of sources current: the server renders it, this page replaces it.
"use strict";

const REFRESH_MILLISECONDS = 5000;

async function refreshSources() {
  if (document.hidden) return;
  try {
    const reply = await fetch("./", { headers: { accept: "text/html" } });
    if (!reply.ok) return;
    const found = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("sources");
    if (found) document.getElementById("sources").replaceWith(found);
  } catch {
    // The exporter is away; the live view says so.
  }
}

setInterval(refreshSources, REFRESH_MILLISECONDS);
document.addEventListener("visibilitychange", refreshSources);
