"use strict";
// Fetches the page's sections again and again and puts them in place. How often follows from how long it took, so that a
// page of a thousand relays does not keep anybody busy; a page that nobody sees rests.
(function () {
  const live = document.getElementById("live"), lost = document.getElementById("lost");
  const EVERY_MS = 2000;

  // Only what changed, so that a selection or the focus stays where it is.
  function put(text) {
    const next = new DOMParser().parseFromString(text, "text/html").body;
    const now = live.children, then = next.children;
    if (now.length !== then.length) {
      live.replaceChildren(...Array.from(then));
      return;
    }
    for (let i = 0; i < now.length; i++)
      if (!now[i].isEqualNode(then[i]) && !now[i].contains(document.activeElement))
        now[i].replaceWith(then[i].cloneNode(true));
  }

  async function update() {
    const began = performance.now();
    if (!document.hidden) {
      try {
        const answer = await fetch("/sections" + location.search, { cache: "no-store", signal: AbortSignal.timeout(10000) });
        if (!answer.ok) throw new Error(String(answer.status));
        put(await answer.text());
        lost.hidden = true;
      } catch (e) {
        lost.hidden = false;
      }
    }
    setTimeout(update, Math.max(EVERY_MS, 10 * (performance.now() - began)));
  }
  setTimeout(update, EVERY_MS);
})();
