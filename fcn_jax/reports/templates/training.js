// The pictures of a training report, at the validation that the slider is at,
// and its reloading. What the reader chose outlives a reload in the address.
"use strict";
(() => {
  const VOID = 255;
  const HATCH = [[96, 96, 96], [200, 200, 200]];
  const chosen = new URLSearchParams(location.hash.slice(1));

  function remember(name, value) {
    if (value === null) chosen.delete(name);
    else chosen.set(name, value);
    history.replaceState(null, "", `#${chosen}`);
  }

  const reload = document.getElementById("reload");
  if (reload) {
    let waiting = 0;
    const wait = () => {
      clearTimeout(waiting);
      if (reload.checked) waiting = setTimeout(() => location.reload(), 30000);
    };
    reload.checked = chosen.has("reload");
    reload.addEventListener("change", () => {
      remember("reload", reload.checked ? "" : null);
      wait();
    });
    wait();
  }

  const root = document.querySelector(".through-time");
  if (!root) return;
  const steps = JSON.parse(document.getElementById("steps").textContent);
  const when = document.getElementById("when");
  const strength = document.getElementById("strength");
  const names = {}, colors = {};
  for (const {dataset: {id, name, color}} of root.querySelectorAll("[data-id]")) {
    names[id] = name;
    if (color) colors[id] = color.split(" ").map(Number);
  }
  colors[VOID] = HATCH[0];

  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream()
      .pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function bring(pair) {
    const width = Number(pair.dataset.width), height = Number(pair.dataset.height);
    const stored = JSON.parse(pair.querySelector("script").textContent);
    const ids = {}; // of the label, and of the prediction that is shown
    const readout = pair.querySelector(".readout");
    const cursors = [...pair.querySelectorAll(".cursor")];
    let place = null; // [x, y] of the cursor

    function paint(kind) {
      const picture = new ImageData(width, height), data = picture.data;
      const alpha = Math.round(2.55 * strength.value);
      for (let y = 0, i = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i++) {
          const id = ids[kind][i];
          const color = id === VOID ? HATCH[((x + y) >> 2) & 1] : colors[id];
          if (!color) continue;
          data.set([...color, alpha], 4 * i);
        }
      }
      pair.querySelector(`canvas[data-kind=${kind}]`).getContext("2d")
        .putImageData(picture, 0, 0);
    }

    function tell() {
      for (const cursor of cursors) {
        cursor.hidden = !place;
        if (!place) continue;
        cursor.style.left = `${100 * (place[0] + 0.5) / width}%`;
        cursor.style.top = `${100 * (place[1] + 0.5) / height}%`;
      }
      if (!place || !ids.prediction) {
        readout.textContent = "";
        return;
      }
      const i = place[1] * width + place[0];
      const [found, right] = [ids.prediction[i], ids.label[i]];
      readout.textContent =
        `Prediction: ${names[found]} (${found}); label: ${names[right]} (${right})`;
    }

    function moveTo(x, y) {
      place = [Math.min(Math.max(x, 0), width - 1),
        Math.min(Math.max(y, 0), height - 1)];
      tell();
    }

    for (const stage of pair.querySelectorAll(".stage")) {
      const follow = (event) => {
        const box = stage.getBoundingClientRect();
        moveTo(Math.floor((event.clientX - box.left) / box.width * width),
          Math.floor((event.clientY - box.top) / box.height * height));
      };
      const leave = () => {
        place = null;
        tell();
      };
      stage.addEventListener("pointermove", follow);
      stage.addEventListener("pointerdown", follow);
      stage.addEventListener("pointerleave", (event) => {
        if (event.pointerType === "mouse" && !stage.matches(":focus-visible")) {
          leave();
        }
      });
      stage.addEventListener("focus", () => {
        if (!place && stage.matches(":focus-visible")) {
          moveTo(width >> 1, height >> 1);
        }
      });
      stage.addEventListener("blur", leave);
      stage.addEventListener("keydown", (event) => {
        const by = event.shiftKey ? 10 : 1;
        const way = {
          ArrowLeft: [-by, 0], ArrowRight: [by, 0],
          ArrowUp: [0, -by], ArrowDown: [0, by],
        }[event.key];
        if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        const [x, y] = place || [width >> 1, height >> 1];
        moveTo(x + way[0], y + way[1]);
      });
    }

    return {
      async show(number) {
        ids.label ??= await inflate(stored.ids[0]);
        const prediction = await inflate(stored.ids[number + 1]);
        if (number !== Number(when.value)) return; // moved on meanwhile
        ids.prediction = prediction;
        paint("label");
        paint("prediction");
        tell();
        pair.querySelector("img").alt =
          `Prediction of ${stored.name}: ${stored.words[number + 1]}`;
        pair.dataset.shown = steps[number];
      },
      repaint() {
        if (!ids.prediction) return;
        paint("label");
        paint("prediction");
      },
    };
  }

  const pairs = [...root.querySelectorAll(".pair")].map(bring);

  function show() {
    const number = Number(when.value);
    const text = `step ${steps[number].toLocaleString("en")}`;
    document.getElementById("step").textContent = text;
    when.setAttribute("aria-valuetext", text);
    for (const pair of pairs) pair.show(number);
  }

  when.addEventListener("input", () => {
    // At the right end it stays with the latest, whatever is added.
    const atEnd = Number(when.value) === steps.length - 1;
    remember("step", atEnd ? null : steps[Number(when.value)]);
    show();
  });
  strength.addEventListener("input", () => {
    for (const pair of pairs) pair.repaint();
  });
  const before = steps.indexOf(Number(chosen.get("step") ?? NaN));
  if (before >= 0) when.value = before;
  show();
})();
