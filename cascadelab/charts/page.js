// Makes every chart of the page respond; until then, or on any failure, its picture stays.
for (const place of document.querySelectorAll(".vega")) {
  const spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
  const live = document.createElement("div");
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    ast: true,
    actions: { export: true, source: false, compiled: false, editor: false },
    downloadFileName: place.closest("figure").id,
  };
  live.hidden = true;
  place.append(live);
  vegaEmbed(live, spec, options).then(() => {
    place.querySelector("img").remove();
    live.hidden = false;
    place.dataset.state = "live";
  }, () => { live.remove(); });
}
