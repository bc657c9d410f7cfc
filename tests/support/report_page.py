"""A page of a report, taken apart without a browser."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a page holds: headings, texts, and whatever could load something."""

    def __init__(self, text):
        super().__init__()
        self.headings, self.loads, self.ids, self.tags = [], [], [], []
        self.words, self._open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        known = dict(attributes)
        if "id" in known:
            self.ids.append(known["id"])
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            if known.get(name) and not known[name].startswith(("#", "data:")):
                self.loads.append((tag, known[name]))
        if tag not in ("meta", "link", "img", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] == "h2":
            self.headings.append(data.strip())
        if "style" not in self._open and "script" not in self._open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())
