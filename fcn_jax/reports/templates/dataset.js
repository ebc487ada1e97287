// The gallery of dataset.html.j2: which thumbnails are shown lies in the form,
// what they show in the JSON. Shares come from there, nothing is counted here.
"use strict";
(() => {
  const PER_PAGE = 48;
  const {bring, inflate, HATCH, VOID} = window.viewers;
  const {images, classes} = JSON.parse(document.querySelector("#gallery").textContent);
  const named = new Map(classes.map((one) => [one.label, one]));
  const form = document.querySelector(".choice"), chosen = form.elements;
  const list = document.querySelector(".gallery");
  const status = document.querySelector(".shown");
  const pageInput = document.querySelector(".page");
  const dialog = document.querySelector("dialog");
  let order = images.map((_, i) => i); // numbers of the images to be shown
  let page = 0;
  let opened = null; // number of the image in the dialog

  images.forEach((image) => image.share = new Map(image.shares));
  const shareOf = (image, label) => image.share.get(label) || 0;

  function percent(share) {
    return share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
  }

  function element(kind, name, text = "") {
    const made = document.createElement(kind);
    made.className = name;
    made.textContent = text;
    return made;
  }

  // Names as people count: a2 before a10.
  const byName = new Intl.Collator("en", {numeric: true}).compare;

  function choose() {
    const label = chosen.class.value === "" ? null : Number(chosen.class.value);
    const byShare = chosen.sort.querySelector("[value=share]");
    byShare.disabled = label === null;
    if (label === null && chosen.sort.value === "share") chosen.sort.value = "order";
    const part = chosen.name.value.trim().toLowerCase();
    order = images.map((_, i) => i).filter((i) => {
      const image = images[i];
      return (!chosen.split.value || image.split === chosen.split.value) &&
        (label === null || image.share.has(label)) &&
        (!part || image.name.toLowerCase().includes(part)) &&
        (!chosen.found || !chosen.found.checked || image.findings.length > 0);
    });
    const key = {
      size: (image) => image.size[0] * image.size[1],
      share: (image) => shareOf(image, label),
      void: (image) => shareOf(image, VOID),
      number: (image) => image.share.size - image.share.has(VOID),
    }[chosen.sort.value];
    if (chosen.sort.value === "name") {
      order.sort((a, b) => byName(images[a].name, images[b].name) || a - b);
    } else if (key) {
      order.sort((a, b) => key(images[b]) - key(images[a]) || a - b);
    }
    if (chosen.reverse.checked) order.reverse();
    page = 0;
    show();
  }

  const lastPage = () => Math.max(0, Math.ceil(order.length / PER_PAGE) - 1);

  function show() {
    page = Math.min(Math.max(page, 0), lastPage());
    const first = page * PER_PAGE, shown = order.slice(first, first + PER_PAGE);
    status.textContent = shown.length
      ? `${first + 1} to ${first + shown.length} of ${order.length} images`
      : "No image is like that.";
    pageInput.value = page + 1;
    pageInput.max = lastPage() + 1;
    document.querySelector(".last").textContent = lastPage() + 1;
    for (const button of document.querySelectorAll(".pages .previous")) {
      button.disabled = page === 0;
    }
    for (const button of document.querySelectorAll(".pages .next")) {
      button.disabled = page === lastPage();
    }
    list.replaceChildren(...shown.map(card));
  }

  // The share of the chosen class, and what is sorted by, stand first.
  function facts(image) {
    const [height, width] = image.size, sort = chosen.sort.value;
    const words = [image.split, `${width} × ${height}`];
    if (chosen.class.value !== "") {
      const label = Number(chosen.class.value);
      words.unshift(percent(shareOf(image, label)));
    }
    if (sort === "void") words.unshift(`${percent(shareOf(image, VOID))} void`);
    if (sort === "number") {
      words.unshift(`${image.share.size - image.share.has(VOID)} classes`);
    }
    return words.join(", ");
  }

  function card(number) {
    const image = images[number], [height, width] = image.shown;
    const item = document.createElement("li"), button = element("button", "");
    const picture = element("span", "picture"), photo = new Image(width, height);
    const canvas = document.createElement("canvas");
    const under = element("span", "under");
    item.dataset.name = image.name;
    button.type = "button";
    button.dataset.image = number;
    button.setAttribute("aria-label", `Open ${image.name}: ${facts(image)}`);
    photo.src = image.photo;
    photo.alt = "";
    canvas.width = width;
    canvas.height = height;
    canvas.setAttribute("aria-hidden", "true");
    picture.append(photo, canvas);
    button.append(picture);
    const name = element("span", "name", image.name);
    name.title = image.name;
    item.append(button, name, element("span", "facts", facts(image)), under);
    button.addEventListener("click", () => open(number));
    inflate(image.ids).then((ids) => {
      canvas.ids = ids;
      paint(canvas);
      const tell = (event) => {
        const box = canvas.getBoundingClientRect();
        const x = Math.floor((event.clientX - box.left) / box.width * width);
        const y = Math.floor((event.clientY - box.top) / box.height * height);
        const id = ids[Math.min(Math.max(y, 0), height - 1) * width +
          Math.min(Math.max(x, 0), width - 1)];
        const one = named.get(id);
        under.replaceChildren(swatch(one), ` ${one.name} (${id})`);
      };
      picture.addEventListener("pointermove", tell);
      picture.addEventListener("pointerleave", () => under.replaceChildren());
    });
    return item;
  }

  function swatch({label, color}) {
    const made = element("span", label === VOID ? "swatch void" : "swatch");
    if (label !== VOID) made.style.backgroundColor = `rgb(${color.join(" ")})`;
    made.setAttribute("aria-hidden", "true");
    return made;
  }

  function paint(canvas) {
    const {ids, width, height} = canvas, show = chosen.show.value;
    const picture = new ImageData(width, height), data = picture.data;
    const alpha = show === "labels" ? 255 : Math.round(2.55 * chosen.opacity.value);
    if (show !== "image") {
      for (let i = 0; i < ids.length; i++) {
        const one = named.get(ids[i]);
        if (show === "overlay" && one.plain) continue;
        const color = ids[i] === VOID
          ? HATCH[((i % width + Math.floor(i / width)) >> 2) & 1] : one.color;
        data.set(color, 4 * i);
        data[4 * i + 3] = alpha;
      }
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
    canvas.dataset.painted = Number(canvas.dataset.painted || 0) + 1;
  }

  function repaint() {
    chosen.opacity.disabled = chosen.show.value !== "overlay";
    for (const canvas of list.querySelectorAll("canvas")) {
      if (canvas.ids) paint(canvas);
    }
  }

  function open(number) {
    const image = images[number], [height, width] = image.size;
    opened = number;
    dialog.querySelector("h2").textContent = image.name;
    dialog.querySelector(".about").textContent = `${image.split}, ${width} × ${height} pixels`;
    dialog.querySelector(".about-findings").replaceChildren(
      ...image.findings.map((text) => element("li", "", text)));
    const section = document.querySelector("#opened").content
      .querySelector("section").cloneNode(true);
    section.id = "opened-viewer";
    section.setAttribute("aria-label", image.name);
    Object.assign(section.dataset, {
      width: image.shown[1], height: image.shown[0],
      fullWidth: width, fullHeight: height,
    });
    const stage = section.querySelector(".stage");
    stage.style.setProperty("--width", image.shown[1]);
    stage.style.setProperty("--height", image.shown[0]);
    stage.setAttribute("aria-label",
      `${image.name}: arrow keys move the cursor, with shift by ten pixels`);
    for (const part of stage.querySelectorAll("img, canvas")) {
      [part.width, part.height] = [image.shown[1], image.shown[0]];
    }
    stage.querySelector("img").src = image.photo;
    stage.querySelector("img").alt = image.name;
    const legend = section.querySelector("[data-layer]");
    legend.dataset.ids = image.ids;
    const buttons = new Map([...legend.children].map(
      (item) => [Number(item.firstElementChild.dataset.id), item]));
    // A class of so few pixels that the thumbnail lost them stays in the legend.
    legend.replaceChildren(...[...image.shares]
      .sort(([a, x], [b, y]) => (a === VOID) - (b === VOID) || y - x)
      .map(([label, share]) => {
        const item = buttons.get(label);
        item.querySelector(".share").textContent = percent(share);
        return item;
      }));
    const note = section.querySelector(".note");
    note.textContent = `Shown with ${image.shown[1]} × ${image.shown[0]} of ` +
      `${width} × ${height} pixels; shares are of all pixels.`;
    note.hidden = image.shown[0] === height && image.shown[1] === width;
    dialog.querySelector(".place").replaceChildren(section);
    const place = order.indexOf(number);
    dialog.querySelector(".previous").disabled = place <= 0;
    dialog.querySelector(".next").disabled = place < 0 || place === order.length - 1;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    bring(section);
  }

  function turn(step) {
    const place = order.indexOf(opened) + step;
    open(order[place]);
    // A button that became disabled would take the focus with it.
    if (document.activeElement.disabled || document.activeElement === document.body) {
      dialog.querySelector("h2").focus();
    }
  }

  dialog.addEventListener("close", () => {
    dialog.querySelector(".place").replaceChildren();
    const place = order.indexOf(opened);
    if (place >= 0 && Math.floor(place / PER_PAGE) !== page) {
      page = Math.floor(place / PER_PAGE);
      show();
    }
    const button = list.querySelector(`[data-image="${opened}"]`);
    if (button) button.focus();
  });
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.querySelector(".previous").addEventListener("click", () => turn(-1));
  dialog.querySelector(".next").addEventListener("click", () => turn(1));

  for (const button of document.querySelectorAll("button.open")) {
    button.addEventListener("click", () => open(Number(button.dataset.image)));
  }
  for (const input of form.querySelectorAll("[name=show], [name=opacity]")) {
    input.addEventListener("input", repaint);
  }
  for (const name of ["split", "class", "sort", "reverse", "found", "name"]) {
    if (chosen[name]) chosen[name].addEventListener("input", choose);
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  pageInput.addEventListener("change", () => {
    page = Number(pageInput.value) - 1 || 0;
    show();
  });
  for (const [name, step] of [["previous", -1], ["next", 1]]) {
    for (const button of document.querySelectorAll(`.pages .${name}`)) {
      button.addEventListener("click", () => {
        page += step;
        show();
        if (button.disabled) pageInput.focus();
      });
    }
  }
  choose();
})();
