"""The widget's page in a browser without Jupyter: its real Python side on a made-up session, joined by a stub model."""

import base64
import contextlib
import json

from explorer_browser import launched, watched
from labelling_fake import FakeSession

from alkit.labelling.widget import STATIC, LabelWidget

ADDRESS = "http://localhost/"
PAGE = """<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>label</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="widget.css"><style>body { margin: 8px; }</style><body>
<div id="here"></div><textarea id="elsewhere" hidden></textarea><script type="module">
import widget from "./widget.js";
const handlers = new Set();
window.fault = "";  // "away": nothing arrives; "deaf": what the kernel says is lost
window.lag = 0;  // ms, each way
window.posted = [];
const later = () => new Promise((done) => setTimeout(done, lag));
let turn = Promise.resolve();
const model = {
  on: (name, handler) => handlers.add(handler),
  off: (name, handler) => handlers.delete(handler),
  send(message) {
    posted.push(message);
    if (fault === "away") throw new Error("the kernel is dead");
    const sent = later();
    turn = turn.then(async () => {
      await sent;
      const replies = await kernel(JSON.stringify(message));
      if (fault === "deaf") return;
      later().then(() => {
        for (const [content, buffers] of replies) {
          const bytes = buffers.map((one) => new DataView(Uint8Array.from(atob(one), (c) => c.charCodeAt(0)).buffer));
          handlers.forEach((handler) => handler(content, bytes));
        }
      });
    });
  },
};
window.closeWidget = widget.render({ model, el: document.getElementById("here") });
</script>"""


class AtOnce:
    """An executor that runs what it is given in place."""

    def submit(self, function, *arguments):
        function(*arguments)


class Kernel:
    """The Python side of one page: a widget on `session`; `restart` puts a new one in its place."""

    def __init__(self, session):
        self.session, self.sent = session, []
        self.restart()

    def restart(self):
        self.widget = LabelWidget(self.session)
        self.widget._pictures = self.widget._thumbnails = AtOnce()
        self.widget.send = lambda content, buffers=(): self.sent.append([content, [encoded(one) for one in buffers]])

    def __call__(self, message):
        return self.say(json.loads(message))

    def say(self, message):
        """What the widget sends when it receives `message`: [content, buffers in base64] each."""
        self.widget._received(self.widget, message, [])
        said, self.sent = self.sent, []
        return said


def encoded(data):
    return base64.b64encode(data).decode()


@contextlib.contextmanager
def opened(browser, session=None, width=1400, height=900, **context):
    """(page, session, kernel, what the page said and asked for) of a widget that shows its first question."""
    said, session = [], session or FakeSession("where")
    context = browser.new_context(viewport={"width": width, "height": height}, **context)
    files = {"": PAGE, "widget.js": None, "widget.css": None}
    kinds = {"js": "text/javascript", "css": "text/css"}

    def serve(route):
        name = route.request.url.removeprefix(ADDRESS)
        if name not in files:
            return route.abort()
        kind = kinds.get(name.rpartition(".")[2], "text/html")
        return route.fulfill(body=files[name] or (STATIC / name).read_text(), content_type=kind)

    context.route("**/*", serve)
    kernel = Kernel(session)
    page = watched(context, said)
    page.expose_function("kernel", kernel)
    page.goto(ADDRESS)
    try:
        ready(page)
        yield page, session, kernel, said
    finally:
        context.close()


def ready(page):
    """Wait until a question can be answered."""
    page.wait_for_selector(".alkit-label[data-question]", timeout=60_000)


def press(page, keys):
    """Press keys one by one, as somebody who looks at each picture."""
    for key in keys:
        ready(page)
        page.keyboard.press(key)


def saved(page, session, count):
    """Wait until the page shows that everything is saved, and the session has `count` answers; the answers."""
    page.wait_for_function("document.querySelector('.saved').textContent.startsWith('✓')", timeout=15_000)
    assert len(session.given) == count
    return session.answers()


__all__ = ["ADDRESS", "Kernel", "launched", "opened", "press", "ready", "saved"]
