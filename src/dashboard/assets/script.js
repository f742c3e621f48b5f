// Keeps the figures of the overview up to date, in the words and lines that the server sends. Nothing here is needed to
// read the pages.
"use strict";
(() => {
  const badge = document.querySelector("#live");
  if (!badge) return;

  // What an element shows of which figure: "text:hits", or the name of an attribute.
  const shown = [];
  for (const element of document.querySelectorAll("[data-live]")) {
    for (const pair of element.dataset.live.split(" ")) {
      const [what, name] = pair.split(":");
      shown.push({ element, what, name });
    }
  }

  const show = (figures) => {
    for (const { element, what, name } of shown) {
      const value = figures[name];
      if (value === undefined) continue;
      if (what !== "text") element.setAttribute(what, value);
      else if (element.textContent !== value) element.textContent = value;
    }
  };

  let source = null;
  let asked = 0;
  let heard = 0;

  const say = (live) => {
    const words = live ? "Live" : "Not live";
    badge.classList.toggle("on", live);
    if (badge.textContent !== words) badge.textContent = words;
  };

  const listen = () => {
    asked = Date.now();
    source = new EventSource("live");
    source.addEventListener("figures", (event) => {
      heard = Date.now();
      say(true);
      show(JSON.parse(event.data));
    });
  };

  const leave = () => {
    if (source) source.close();
    source = null;
  };

  // A stream that was refused is not asked for again by the browser itself.
  setInterval(() => {
    const now = Date.now();
    if (now - heard > 5000) say(false);
    if (!document.hidden && source && source.readyState === EventSource.CLOSED && now - asked > 10000) listen();
  }, 2000);

  // Nobody looks, so nobody asks; a page that is left for another one lets go at once.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) leave();
    else if (!source) listen();
  });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => {
    if (event.persisted && !source) listen();
  });
  listen();
})();
