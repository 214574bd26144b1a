// The tour: steps of a text and a view, each as an address of this page would bring it.

let tourStep = -1;

function goTo(step) {
  tourStep = step < meta.tour.length ? step : -1;
  if (tourStep >= 0) {
    const { theme: kept } = state;
    openView(meta.tour[tourStep].view);
    if (kept) change({ theme: kept });
    remember();
  }
  showTour();
  if (tourStep >= 0) $("tour-next").focus({ preventScroll: true });
}

function showTour() {
  const place = $("tour");
  place.hidden = tourStep < 0;
  if (place.hidden) return place.replaceChildren();
  const last = tourStep === meta.tour.length - 1;
  const back = h("button", { type: "button", id: "tour-back", onclick: () => goTo(tourStep - 1) }, "Back");
  back.hidden = !tourStep;
  place.replaceChildren(h("p", {}, h("b", {}, `${tourStep + 1} of ${meta.tour.length}`), ` ${meta.tour[tourStep].text}`),
    h("span", { class: "controls" }, back,
      h("button", { type: "button", id: "tour-next", class: "main", onclick: () => goTo(tourStep + 1) }, last ? "Done" : "Next"),
      last ? null : h("button", { type: "button", class: "close", "aria-label": "End the tour", onclick: () => goTo(meta.tour.length) }, "×")));
  say(meta.tour[tourStep].text);
}
