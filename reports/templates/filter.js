(function () {
  "use strict";
  var form = document.querySelector(".tr-filter");
  var rows = Array.prototype.slice.call(document.querySelectorAll(".tr-table tbody tr"));
  var boxes = Array.prototype.slice.call(form.querySelectorAll("input[type=checkbox]"));
  var area = form.querySelector("select");
  var word = form.querySelector("input[type=search]");
  var output = form.querySelector("output");
  function apply() {
    var wanted = boxes.filter(function (box) { return box.checked; })
      .map(function (box) { return box.value; });
    var text = word.value.trim().toLowerCase();
    var shown = 0;
    rows.forEach(function (row) {
      var show = wanted.indexOf(row.dataset.status) >= 0 &&
        (!area.value || row.dataset.area === area.value) &&
        (!text || row.textContent.toLowerCase().indexOf(text) >= 0);
      row.hidden = !show;
      shown += show ? 1 : 0;
    });
    output.textContent = shown === rows.length ? rows.length + " clauses"
      : shown + " of " + rows.length + " clauses";
  }
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  // A link to a clause shows it, whatever is filtered.
  window.addEventListener("hashchange", function () {
    var row = document.getElementById(location.hash.slice(1));
    if (row && row.hidden) {
      row.hidden = false;
      row.scrollIntoView();
    }
  });
  apply();
}());
