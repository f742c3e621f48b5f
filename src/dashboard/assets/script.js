// Updates the numbers and charts of the overview from the event stream. The pages work without this script.
"use strict";
(() => {
  const badge = document.querySelector("#live");
  if (!badge) return;

  // The target of each number: "text:hits" sets the text of the element, another word before the colon sets an attribute.
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
  let opened = 0;
  let received = 0;

  const say = (live) => {
    const words = live ? "Live" : "Not live";
    badge.classList.toggle("on", live);
    if (badge.textContent !== words) badge.textContent = words;
  };

  const listen = () => {
    opened = Date.now();
    source = new EventSource("live");
    source.addEventListener("figures", (event) => {
      received = Date.now();
      say(true);
      show(JSON.parse(event.data));
    });
  };

  const leave = () => {
    if (source) source.close();
    source = null;
  };

  // The browser does not reopen a stream that the server refused.
  setInterval(() => {
    const now = Date.now();
    if (now - received > 5000) say(false);
    if (!document.hidden && source && source.readyState === EventSource.CLOSED && now - opened > 10000) listen();
  }, 2000);

  // A hidden page closes its stream, and so does a page that the user leaves.
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
