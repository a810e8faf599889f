// SPDX-License-Identifier: Apache-2.0
const looks = new WeakMap(); // canvas -> its size and colour: to ask the browser for them each second would make it lay out anew

function lookOf(canvas) {
	let look = looks.get(canvas);
	if (!look || performance.now() - look.at > 10_000) {
		look = { at: performance.now(), w: canvas.clientWidth || 120, h: canvas.clientHeight || 22, color: getComputedStyle(canvas).color };
		looks.set(canvas, look);
	}
	return look;
}

// A small curve of the newest values.
export function spark(canvas, values) {
	const g = canvas.getContext("2d"), scale = window.devicePixelRatio || 1, { w, h, color } = lookOf(canvas);
	if (canvas.width !== Math.round(w * scale)) canvas.width = Math.round(w * scale);
	if (canvas.height !== Math.round(h * scale)) canvas.height = Math.round(h * scale);
	g.setTransform(scale, 0, 0, scale, 0, 0);
	g.clearRect(0, 0, w, h);
	const max = Math.max(...values, 1), step = w / 60, shown = values.slice(-61);
	const x = (i) => w - (shown.length - 1 - i) * step, y = (v) => h - 2 - (v / max) * (h - 4);
	g.beginPath();
	shown.forEach((v, i) => (i ? g.lineTo(x(i), y(v)) : g.moveTo(x(i), y(v))));
	g.strokeStyle = color;
	g.lineWidth = 1.5;
	g.lineJoin = "round";
	g.stroke();
	if (shown.length > 1) {
		g.lineTo(x(shown.length - 1), h);
		g.lineTo(x(0), h);
		g.globalAlpha = 0.12;
		g.fillStyle = color;
		g.fill();
		g.globalAlpha = 1;
	}
}
