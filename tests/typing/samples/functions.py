from collections.abc import Iterator

import flow

app = flow.App("sweep", image="python:3.12", env={"SEED": "1"})


@app.function(gpu="a100", max_price_per_hour=4.0, retries=2, timeout=3600)
def train(lr: float, *, steps: int = 100) -> dict[str, float]:
    return {"loss": lr * steps}


@app.function
def plain(text: str) -> int:
    return len(text)


@app.function(gpu="a100")
async def later(x: int) -> str:
    return str(x)


here: dict[str, float] = train.local(0.1)
there: dict[str, float] = train.remote(0.1, steps=10)
call: flow.FunctionCall[dict[str, float]] = train.spawn(0.1)
found: dict[str, float] = call.result(timeout=60)
lines: list[str] = call.logs()
stopped: bool = call.cancel()
results: Iterator[dict[str, float]] = train.map([0.1, 0.2], concurrency=8, return_exceptions=True)
more: list[dict[str, float]] = list(train.starmap([(0.1,)]))
lines_to_come: Iterator[str] = call.logs(follow=True)
text_of_later: str = later.remote(1)
length: int = plain.remote("text")
both: list[int] = flow.gather(plain.spawn("a"), plain.spawn("b"))


async def main() -> dict[str, float]:
    words: list[str] = [each async for each in later.aio.map([1])]
    word: str = await later.local(len(words))
    print(word, await later.aio.remote(1))
    return await train.aio.remote(0.1, steps=3)


train.remote("0.1")  # wrong
train.remote(0.1, 10)  # wrong
train.remote(0.1, epochs=3)  # wrong
train.spawn()  # wrong
later.remote("1")  # wrong
text: str = train.remote(0.1)  # wrong
app.function(gpus="a100")  # wrong
