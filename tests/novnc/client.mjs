// noVNC's own client, without a browser: its core drives a document of jsdom's and draws on a canvas of its own.
//
//   node client.mjs SOCKET PROVIDER VM PNG
//
// It connects to the agent's Unix socket. For each line of standard input it writes to PNG what noVNC shows then. It says on
// standard output, a line of JSON each: that it is connected; what it wrote; how the connection ended.
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createCanvas, ImageData } from '@napi-rs/canvas';
import { JSDOM } from 'jsdom';
import WebSocket from 'ws';

const [socket, provider, vm, file] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));

const dom = new JSDOM('<!doctype html><body><div id="screen"></div></body>', { url: 'https://covirt/', pretendToBeVisual: true });
const { window } = dom;
Object.defineProperty(window, 'isSecureContext', { value: true });
// jsdom lays nothing out and draws nothing: a size that never changes, and a canvas that does draw.
window.ResizeObserver = class { observe() {} unobserve() {} disconnect() {} };
window.ImageData = ImageData;
const drawn = new WeakMap();
const behind = (element) => {
    let canvas = drawn.get(element);
    if (!canvas || canvas.width !== element.width || canvas.height !== element.height) {
        canvas = createCanvas(element.width, element.height);
        drawn.set(element, canvas);
    }
    return canvas;
};
window.HTMLCanvasElement.prototype.getContext = function () {
    const element = this;
    return new Proxy({}, {
        get(_, name) {
            const context = behind(element).getContext('2d');
            const value = context[name];
            if (typeof value !== 'function') return value;
            const plain = (word) => (word instanceof window.HTMLCanvasElement ? behind(word) : word);
            return (...words) => value.apply(context, words.map(plain));
        },
        set(_, name, value) {
            behind(element).getContext('2d')[name] = value;
            return true;
        },
    });
};
window.HTMLCanvasElement.prototype.toDataURL = () => 'data:image/png;base64,';
// What a page finds in its window; what node has by the same name is jsdom's from here on where documents take no other.
const ours = ['Event', 'CustomEvent', 'navigator'];
for (const name of Object.getOwnPropertyNames(window).filter((name) => ours.includes(name) || !(name in globalThis))) {
    Object.defineProperty(globalThis, name, { value: window[name], configurable: true, writable: true });
}

const { default: RFB } = await import('@novnc/novnc');
const channel = new WebSocket(`ws+unix://${socket}:/v1/vms/${vm}/vnc`, ['binary'], { headers: { 'covirt-provider': provider } });
channel.binaryType = 'arraybuffer';
const closed = new Promise((resolve) => channel.on('close', (code, reason) => resolve({ code, reason: reason.toString() })));
channel.on('error', (error) => say({ error: error.message }));

const rfb = new RFB(window.document.getElementById('screen'), channel);
let asks = 0;
rfb.addEventListener('credentialsrequired', () => { asks += 1; });
rfb.addEventListener('securityfailure', (event) => say({ error: event.detail.reason }));
rfb.addEventListener('connect', () => say({ connected: true, asks, protocol: channel.protocol }));
createInterface({ input: process.stdin }).on('line', () => {
    const image = rfb.getImageData();
    const canvas = createCanvas(image.width, image.height);
    canvas.getContext('2d').putImageData(image, 0, 0);
    writeFileSync(file, canvas.toBuffer('image/png'));
    say({ width: image.width, height: image.height });
});
say({ closed: await closed });
process.exit(0);
