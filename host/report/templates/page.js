"use strict";
// Marks of a picture: pointed at, or reached by the arrow keys; their label is shown below it.
for (const figure of document.querySelectorAll("figure")) {
  const readout = figure.querySelector(".readout");
  for (const picture of figure.querySelectorAll("svg.picture")) {
    const marks = [...picture.querySelectorAll(".mark")];
    if (!marks.length) continue;
    let at = -1;
    const show = (mark) => {
      for (const other of picture.querySelectorAll(".chosen")) other.classList.remove("chosen");
      mark.classList.add("chosen");
      readout.textContent = mark.querySelector("title").textContent;
    };
    picture.tabIndex = 0;
    picture.setAttribute("aria-description", marks.length + " marks; arrow keys move between them");
    picture.addEventListener("pointerover", (event) => {
      const mark = event.target.closest(".mark");
      if (mark) { at = marks.indexOf(mark); show(mark); }
    });
    picture.addEventListener("keydown", (event) => {
      const seen = marks.filter((mark) => !mark.classList.contains("off"));
      if (!seen.length) return;
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      let next = seen.indexOf(marks[at]);
      if (step) next = (next + step + seen.length) % seen.length;
      else if (event.key === "Home") next = 0;
      else if (event.key === "End") next = seen.length - 1;
      else return;
      event.preventDefault();
      at = marks.indexOf(seen[Math.max(0, next)]);
      show(marks[at]);
    });
  }
  // Series that are hidden and shown.
  for (const button of figure.querySelectorAll("button[data-series]")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      for (const part of figure.querySelectorAll("svg.picture .s" + button.dataset.series)) {
        part.classList.toggle("off", !shown);
      }
    });
  }
}
// On paper nothing can be opened: tables are.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
// Work that goes on: the page is loaded again, as it was left, until it is told not to.
const refresh = Number(document.body.dataset.refresh);
if (refresh) {
  const kept = "axynq:" + location.pathname;
  const opened = () => [...document.querySelectorAll("details")];
  const store = (state) => { try { sessionStorage.setItem(kept, JSON.stringify(state)); } catch {} };
  const stored = () => { try { return JSON.parse(sessionStorage.getItem(kept)) || {}; } catch { return {}; } };
  const before = stored();
  let paused = Boolean(before.paused);
  opened().forEach((details, k) => { details.open = Boolean(before.open && before.open[k]); });
  if (before.scroll) scrollTo({ top: before.scroll, behavior: "instant" });
  const age = document.getElementById("age");
  const button = document.getElementById("pause");
  const updated = Number(document.body.dataset.updated);
  const loaded = Date.now();
  button.hidden = false;
  const keep = () => store({ paused, scroll: scrollY, open: opened().map((details) => details.open) });
  const tell = () => {
    const seconds = Math.max(0, Math.round(Date.now() / 1000 - updated));
    const ago = seconds < 120 ? seconds + " s" : Math.round(seconds / 60) + " min";
    let text = "Written " + ago + " ago; " + (paused ? "not loaded again." : "loaded again every " + refresh + " s.");
    if (seconds > 300) text = "Written " + ago + " ago: the work is slow, or it has ended before it was done; then rerun its command.";
    if (age.textContent !== text) age.textContent = text;
    button.textContent = paused ? "Continue" : "Pause";
    if (!paused && Date.now() - loaded >= refresh * 1000) { keep(); location.reload(); }
  };
  button.addEventListener("click", () => { paused = !paused; keep(); tell(); });
  setInterval(tell, 1000);
  tell();
}
