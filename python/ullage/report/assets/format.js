// Numbers as a reader wants them; `unit` and `names` are given.
const inEnglish = (globalThis.ullageNumbers ??= new Intl.NumberFormat("en", {maximumFractionDigits: 20}))
function showBytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
  let size = Math.abs(value), unit = 0
  while (size >= 999.995 && unit < units.length - 1) { size /= 1000; unit += 1 }
  const digits = unit === 0 ? 0 : 2
  return (value < 0 ? "-" : "") + size.toFixed(digits) + " " + units[unit]
}
function showSeconds(value) {
  for (const [factor, unit] of [[1, "s"], [1e3, "ms"], [1e6, "µs"], [1e9, "ns"]]) {
    if (Math.abs(value) * factor >= 1) return inEnglish.format(Number((value * factor).toPrecision(6))) + " " + unit
  }
  return value === 0 ? "0 s" : value.toPrecision(3) + " s"
}
function show(value, unit, names) {
  if (unit === "bytes") return showBytes(value)
  if (unit === "seconds") return showSeconds(value)
  if (unit === "name") return names[Math.round(value)] === undefined || value !== Math.round(value) ? "" : names[value]
  return inEnglish.format(Number(value.toPrecision(9)))
}
