// From values to places on an axis, as `scales.py` has it; nothing here knows the page.

const LARGEST = 1e250; // what is larger lies beyond the chart

const format = (value) => {
  if (value === null) return "not finite";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const [digits, power] = value.toExponential(3).split("e").map(Number);
  return power < -4 || power >= 4 ? `${digits}e${power}` : String(Number(value.toPrecision(4)));
};

const linearTicks = (low, high) => {
  const rough = (high - low) / 6;
  if (!(rough > 0) || low + rough === low) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((step) => step * power).find((step) => step >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / size - 1e-9); i <= Math.floor(high / size + 1e-9); i += 1) {
    ticks.push(Number((i * size).toPrecision(12)));
  }
  return ticks;
};
const logTicks = (low, high) => {
  let first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const ticks = [];
  if (last - first <= 2) {
    for (let power = first; power <= last; power += 1) {
      for (const step of [1, 2, 5]) ticks.push(step * 10 ** power);
    }
    const inside = ticks.filter((tick) => low <= tick && tick <= high);
    return inside.length > 1 ? inside : linearTicks(low, high);
  }
  first = Math.ceil(Math.log10(low));
  last = Math.floor(Math.log10(high));
  const every = Math.ceil((last - first + 1) / 7);
  for (let power = first; power <= last; power += every) ticks.push(10 ** power);
  return ticks;
};
const scale = (low, high, start, end, log) => {
  const at = log ? Math.log10 : (value) => value;
  const place = (value) => start + (at(value) - at(low)) / (at(high) - at(low)) * (end - start);
  place.low = low; place.high = high;
  place.ticks = log ? logTicks(low, high) : linearTicks(low, high);
  return place;
};
// A scale that holds all values from the least to the most, with a little room.
const scaleOver = (least, most, start, end, log) => {
  if (least > most) [least, most] = [0, 1];
  const floor = log ? 1 / LARGEST : -LARGEST;
  const inside = (value) => Math.min(Math.max(value, floor), LARGEST);
  let [low, high] = log ? [Math.log10(inside(least)), Math.log10(inside(most))] : [inside(least), inside(most)];
  if (low === high) {
    const half = log ? 0.3 : (Math.abs(low) || 1) / 2;
    low -= half;
    high += half;
  }
  const room = (high - low) * 0.05;
  return log
    ? scale(10 ** (low - room), 10 ** (high + room), start, end, true)
    : scale(low - room, high + room, start, end, false);
};

const nearestIndex = (steps, step) => {
  let low = 0, high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] <= step) low = middle; else high = middle;
  }
  return Math.abs(steps[high] - step) < Math.abs(steps[low] - step) ? high : low;
};
