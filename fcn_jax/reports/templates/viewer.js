// Brings each section.viewer of macros/viewer.html.j2 to life. What the reader
// chose lies in the inputs and buttons; decoded arrays are kept only while a
// viewer is near the window.
"use strict";
(() => {
  const VOID = 255;
  const HATCH = [[96, 96, 96], [200, 200, 200]];
  const VEIL = [0, 0, 0, 166]; // over all but the class that is lit up

  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream()
      .pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // City-block distance to the nearest pixel of another id, at most 255; both
  // pixels beside a border have 1.
  function borderDistance(ids, width, height) {
    const distance = new Uint8Array(ids.length).fill(255);
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (x && ids[i] !== ids[i - 1]) distance[i] = distance[i - 1] = 1;
        if (y && ids[i] !== ids[i - width]) distance[i] = distance[i - width] = 1;
      }
    }
    const lower = (i, j) => {
      if (distance[j] + 1 < distance[i]) distance[i] = distance[j] + 1;
    };
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (x) lower(i, i - 1);
        if (y) lower(i, i - width);
      }
    }
    for (let y = height - 1, i = ids.length - 1; y >= 0; y--) {
      for (let x = width - 1; x >= 0; x--, i--) {
        if (x < width - 1) lower(i, i + 1);
        if (y < height - 1) lower(i, i + width);
      }
    }
    return distance;
  }

  function bring(section) {
    const [width, height, fullWidth, fullHeight] =
      ["width", "height", "fullWidth", "fullHeight"]
        .map((name) => Number(section.dataset[name]));
    const find = (selector) => section.querySelector(selector);
    const stage = find(".stage"), canvas = find("canvas");
    const cursor = find(".cursor"), readout = find(".readout");
    const opacity = find(".opacity"), outline = find(".outline");
    const legends = [...section.querySelectorAll("[data-layer]")];
    const hint = "DecompressionStream" in window ? readout.textContent :
      "This browser is too old to show classes: it has no DecompressionStream.";
    let layers = null; // of each legend: ids, distance
    let top = null; // names; planes of ids and of percents
    let lit = null; // class id
    let place = null; // [x, y] of the cursor

    const shown = () => {
      const chosen = find("input[type=radio]:checked");
      return chosen ? Number(chosen.value) : 0;
    };

    function paint() {
      if (!layers) return;
      const {ids, distance} = layers[shown()];
      const soft = Math.round(2.55 * opacity.value), wide = Number(outline.value);
      const colors = new Array(256).fill(null);
      for (const button of legends[shown()].querySelectorAll("button")) {
        const {id, color} = button.dataset;
        if (button.getAttribute("aria-pressed") === "true" && color) {
          colors[id] = color.split(" ").map(Number);
        }
        if (button.getAttribute("aria-pressed") === "true" && Number(id) === VOID) {
          colors[id] = HATCH;
        }
      }
      const picture = new ImageData(width, height), data = picture.data;
      for (let y = 0, i = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i++) {
          const id = ids[i];
          let color = colors[id], alpha = distance[i] <= wide ? 255 : soft;
          if (lit !== null && id !== lit) {
            color = VEIL;
            alpha = VEIL[3];
          } else if (id === VOID && color) {
            color = HATCH[((x + y) >> 2) & 1];
          }
          if (!color) continue;
          data[4 * i] = color[0];
          data[4 * i + 1] = color[1];
          data[4 * i + 2] = color[2];
          data[4 * i + 3] = alpha;
        }
      }
      canvas.getContext("2d").putImageData(picture, 0, 0);
      section.dataset.painted = Number(section.dataset.painted || 0) + 1;
    }

    function tell() {
      cursor.hidden = !place;
      if (!place || !layers) {
        readout.textContent = hint;
        return;
      }
      const [x, y] = place, i = y * width + x;
      cursor.style.left = `${100 * (x + 0.5) / width}%`;
      cursor.style.top = `${100 * (y + 0.5) / height}%`;
      // The pixel of the image that this one was taken from.
      const column = Math.floor((2 * x + 1) * fullWidth / (2 * width));
      const row = Math.floor((2 * y + 1) * fullHeight / (2 * height));
      const lines = [`Column ${column}, row ${row}`];
      legends.forEach((legend, number) => {
        const id = layers[number].ids[i];
        const {name} = legend.querySelector(`[data-id="${id}"]`).dataset;
        const told = "classIds" in legend.dataset ? `${name} (${id})` : name;
        lines.push(`${legend.dataset.layer}: ${told}`);
      });
      if (top) {
        const likely = [];
        for (let k = i; k < top.ids.length; k += width * height) {
          const percent = top.percents[k];
          likely.push(`${top.names[top.ids[k]]} (${top.ids[k]}) ` +
            (percent ? `${percent}\u00a0%` : "<\u00a01\u00a0%"));
        }
        lines.push(`Most likely: ${likely.join(", ")}`);
      }
      readout.replaceChildren(...lines.map((line) => {
        const element = document.createElement("span");
        element.textContent = line;
        return element;
      }));
    }

    function moveTo(x, y) {
      place = [Math.min(Math.max(x, 0), width - 1),
        Math.min(Math.max(y, 0), height - 1)];
      tell();
    }

    function follow(event) {
      const box = canvas.getBoundingClientRect();
      moveTo(Math.floor((event.clientX - box.left) / box.width * width),
        Math.floor((event.clientY - box.top) / box.height * height));
    }

    stage.addEventListener("pointermove", follow);
    stage.addEventListener("pointerdown", follow);
    stage.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && !stage.matches(":focus-visible")) {
        place = null;
        tell();
      }
    });
    stage.addEventListener("focus", () => {
      if (!place && stage.matches(":focus-visible")) {
        moveTo(width >> 1, height >> 1);
      }
    });
    stage.addEventListener("blur", () => {
      place = null;
      tell();
    });
    stage.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 10 : 1;
      const way = {
        ArrowLeft: [-step, 0], ArrowRight: [step, 0],
        ArrowUp: [0, -step], ArrowDown: [0, step],
      }[event.key];
      if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const [x, y] = place || [width >> 1, height >> 1];
      moveTo(x + way[0], y + way[1]);
    });

    for (const input of [opacity, outline]) {
      input.addEventListener("input", paint);
    }
    for (const radio of section.querySelectorAll("input[type=radio]")) {
      radio.addEventListener("change", () => {
        legends.forEach((legend, i) => legend.hidden = i !== shown());
        paint();
      });
    }
    for (const button of section.querySelectorAll(".legend button")) {
      const light = (on) => {
        lit = on ? Number(button.dataset.id) : null;
        paint();
      };
      button.addEventListener("pointerenter", (event) => {
        if (event.pointerType === "mouse") light(true);
      });
      button.addEventListener("pointerleave", () => light(false));
      button.addEventListener("focus", () => {
        if (button.matches(":focus-visible")) light(true);
      });
      button.addEventListener("blur", () => light(false));
      button.addEventListener("click", () => {
        const pressed = button.getAttribute("aria-pressed") === "true";
        button.setAttribute("aria-pressed", String(!pressed));
        paint();
      });
    }

    async function open() {
      tell();
      if (!("DecompressionStream" in window)) return;
      const decoded = await Promise.all(legends.map(async (legend) => {
        const ids = await inflate(legend.dataset.ids);
        return {ids, distance: borderDistance(ids, width, height)};
      }));
      const json = find("script.top");
      if (json) {
        top = JSON.parse(json.textContent);
        [top.ids, top.percents] = await Promise.all(
          [top.ids, top.percents].map(inflate));
      }
      layers = decoded;
      canvas.width = width;
      canvas.height = height;
      paint();
      tell();
    }

    function close() {
      layers = top = null;
      canvas.width = canvas.height = 0;
      delete section.dataset.painted;
    }

    // A viewer that is scrolled past in a hurry is opened and closed in turn.
    // A busy browser hands over several changes at once: the last one holds.
    let turn = Promise.resolve();
    new IntersectionObserver((changes) => {
      turn = turn.then(changes.at(-1).isIntersecting ? open : close);
    }, {rootMargin: "100%"}).observe(section);
  }

  document.querySelectorAll("section.viewer").forEach(bring);
  // For pages that add a viewer later, and arrays of their own.
  window.viewers = {bring, inflate, HATCH, VOID};
})();
