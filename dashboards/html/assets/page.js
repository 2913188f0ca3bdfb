// What moves the whole page: all charts, the runs of its legend, and smoothing. What stands there
// without script was drawn from the same points; nothing is ever fetched.

const data = JSON.parse(document.getElementById("data").textContent);
const charts = [...document.querySelectorAll("svg[data-chart]")]
  .map((element) => new Chart(element, data[element.dataset.chart]));
const drawAll = () => charts.forEach((chart) => chart.draw());
for (const button of document.querySelectorAll(".toolbar button[data-run]")) {
  button.addEventListener("click", () => {
    toggle(button, hiddenRuns, Number(button.dataset.run));
    const others = "main :is(.bar, .lane, .lineage .line, .parallel .line, figure, .pictures)[data-run]";
    for (const element of document.querySelectorAll(others)) {
      element.classList.toggle("hidden", hiddenRuns.has(Number(element.dataset.run)));
    }
    drawAll();
  });
}
const slider = document.getElementById("smoothing");
slider.addEventListener("input", () => {
  smoothing = Number(slider.value);
  slider.nextElementSibling.textContent = smoothing.toFixed(2).replace(/\.?0+$/, "") || "0";
  drawAll();
});
document.documentElement.classList.add("scripted");
drawAll();
