// While a chart moves, nothing in it is read: a tooltip costs as much as all else that is drawn. It is back at rest.
const REST_MS = 150
const resting = (globalThis.ullageResting ??= new WeakMap())
hover.active = false
clearTimeout(resting.get(hover))
resting.set(hover, setTimeout(() => {
  hover.active = true
  chart.change.emit() // drawn once more, and read where the pointer is now
}, REST_MS))
