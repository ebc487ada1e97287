// Opens and closes the layers, and opens the one that a link leads to.
"use strict";
(() => {
  const layers = document.querySelectorAll("details");
  for (const button of document.querySelectorAll("[data-open]")) {
    button.addEventListener("click", () => {
      for (const layer of layers) layer.open = button.dataset.open === "true";
    });
  }
  function follow() {
    const layer = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!layer || layer.localName !== "details") return;
    layer.open = true;
    layer.scrollIntoView();
    layer.querySelector("summary").focus({preventScroll: true});
  }
  addEventListener("hashchange", follow);
  follow();
})();
