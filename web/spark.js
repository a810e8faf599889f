// SPDX-License-Identifier: Apache-2.0
// A small curve of the newest values.
export function spark(canvas, values) {
	const g = canvas.getContext("2d"), style = getComputedStyle(canvas);
	const scale = window.devicePixelRatio || 1, w = canvas.clientWidth || 120, h = canvas.clientHeight || 22;
	if (canvas.width !== Math.round(w * scale)) canvas.width = Math.round(w * scale);
	if (canvas.height !== Math.round(h * scale)) canvas.height = Math.round(h * scale);
	g.setTransform(scale, 0, 0, scale, 0, 0);
	g.clearRect(0, 0, w, h);
	const max = Math.max(...values, 1), step = w / 60, shown = values.slice(-61);
	const x = (i) => w - (shown.length - 1 - i) * step, y = (v) => h - 2 - (v / max) * (h - 4);
	g.beginPath();
	shown.forEach((v, i) => (i ? g.lineTo(x(i), y(v)) : g.moveTo(x(i), y(v))));
	g.strokeStyle = style.color;
	g.lineWidth = 1.5;
	g.lineJoin = "round";
	g.stroke();
	if (shown.length > 1) {
		g.lineTo(x(shown.length - 1), h);
		g.lineTo(x(0), h);
		g.globalAlpha = 0.12;
		g.fillStyle = style.color;
		g.fill();
		g.globalAlpha = 1;
	}
}
