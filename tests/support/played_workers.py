"""A crew whose workers a test plays."""

from nasforge.parallel.crew import Crew, WorkItem


class Wire:
    """A worker that a test plays."""

    def __init__(self, number, receive):
        self.number, self.receive = number, receive
        self.sent, self.end, self.closed = [], None, False

    def send(self, message):
        self.sent.append(message)

    def stop(self, reason):
        self.sent.append({"stop": reason})

    def poll(self):
        return self.end

    def close(self):
        self.closed = True


def make(wires, workers=2, **more) -> Crew:
    def connect(number, receive):
        wires.append(Wire(number, receive))
        return wires[-1]

    return Crew(workers, connect, **more)


def tasks(crew, *names, key=None):
    made = [WorkItem({"name": name}, key) for name in names]
    for task in made:
        crew.submit(task)
    return made
