// Images: tiles of sprite sheets. A sheet is decoded when one of its tiles is first asked for; the last few are kept.

const KEPT_SHEETS = 64; // of 0.8 MB each for 28-pixel images
const pictures = new Map(); // sheet -> promise of an ImageBitmap, the least recently used first

function sheetPicture(sheet) {
  const known = pictures.get(sheet);
  pictures.delete(sheet);
  const made = known || parsed.then(() => {
    const text = $(`sheet${sheet}`).textContent;
    return createImageBitmap(new Blob([decodeBase64(text)], { type: "image/webp" }));
  });
  pictures.set(sheet, made);
  if (pictures.size > KEPT_SHEETS) {
    const [oldest, picture] = pictures.entries().next().value;
    pictures.delete(oldest);
    picture.then((bitmap) => bitmap.close());
  }
  return made;
}

// Draw image i into a canvas of the image's own size; CSS enlarges it, pixel for pixel.
async function drawImage(canvas, i) {
  canvas.width = meta.width;
  canvas.height = meta.height;
  canvas.dataset.index = i;
  await parsed;
  const tile = arrayOf("tile")[i];
  const sheet = Math.floor(tile / (meta.side * meta.side));
  const at = tile % (meta.side * meta.side);
  const left = (at % meta.side) * meta.width;
  const top = Math.floor(at / meta.side) * meta.height;
  const copy = (bitmap) => {
    if (canvas.dataset.index !== String(i)) return; // another image was asked for meanwhile
    canvas.getContext("2d").drawImage(bitmap, left, top, meta.width, meta.height, 0, 0, meta.width, meta.height);
    canvas.dataset.drawn = i;
  };
  try {
    copy(await sheetPicture(sheet));
  } catch {
    copy(await sheetPicture(sheet)); // it was closed while this one waited
  }
}

function imageOf(i, attributes = {}) {
  const canvas = h("canvas", { class: "image", role: "img", "aria-label": `image ${i}`, ...attributes });
  drawImage(canvas, i);
  return canvas;
}

// A button that shows image i, points at it on the maps while it is looked at, and pins it.
function imageButton(i, text = "") {
  const names = meta.categories.map((column, c) => `${column.key} ${categoryName(c, i)}`).join(", ");
  return h("button", {
    type: "button", class: "thumb", "data-index": i, "aria-label": `image ${i}: ${names}`, title: `#${i}: ${names}`,
    onclick: () => pin(i), onpointerenter: () => point(i), onpointerleave: () => point(-1),
    onfocus: () => point(i), onblur: () => point(-1),
  }, imageOf(i, { "aria-hidden": "true", role: null }), text ? h("span", {}, text) : null);
}
