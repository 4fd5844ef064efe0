"""Feedback on a plot point, from one rater or from several side by side.

The one rule: one rater that fails leaves the others. Each is a part of its own, so that a crash
costs only those that were still at work.

Each event is one message: a phase (or, among several, a Progress with the rater's name) is a
status, a `partial` Item is a partial, a rater's PartCompleted is its status `complete`, its
PartFailed an error that names it, and the terminal event's data is the result's. Must not import
a sibling or a provider.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from engine.commands.rater import RaterBatchCommand, RaterCommand, parse_rating, rater_names
from engine.errors import AntiphonError, EngineError
from engine.events import JSON, Completed, Failed, Part, PartFailed
from engine.pipelines.rater.failures import RaterErrorCode, error_code, message_for
from engine.pipelines.rater.rating import Rating
from engine.sessions.outcomes import PartCut, PartLost
from engine.sessions.run import Run
from engine.supervision import Done, Dropped, Lost, Member, fan_out

AnyRating: TypeAlias = RaterCommand | RaterBatchCommand


class _Failure(msgspec.Struct, frozen=True):
    """How a rater failed."""

    rater_name: str
    error_code: RaterErrorCode
    message: str

    def as_json(self) -> JSON:
        """Give it in the wire's form."""
        return {
            "raterName": self.rater_name,
            "error_code": self.error_code,
            "message": self.message,
        }


class RaterPipeline:
    """The rater pipeline: one rater, or several."""

    name = "rater"
    is_detached = False

    def parse(self, data: JSON) -> tuple[AnyRating, tuple[str, ...]]:
        """Turn a request into a command; one with `raters` asks several.

        Raises:
            InvalidRequest: with one detail for each fault.
        """
        return parse_rating(data)

    async def run(self, run: Run, command: AnyRating) -> Completed | Failed:
        """Ask one rater, or several at once.

        Raises:
            PartCut: the only rater was cancelled alone.
            EngineError: something of ours failed; that ends all raters.

        Cancellation: at any point; the providers' streams are closed.
        """
        if isinstance(command, RaterBatchCommand):
            return await _rate_with_several(run, command)
        return await _rate_with_one(run, command)

    def __repr__(self) -> str:
        return "<RaterPipeline>"


async def _rate_with_one(run: Run, command: RaterCommand) -> Completed | Failed:
    rating = Rating(
        run,
        command,
        Part(id="feedback", target={"stage": "feedback"}, phase="generating_feedback"),
        rater_name=command.rater_name,
        rater_prompt=command.rater_prompt,
        is_alone=True,
    )
    run.declare([{"stage": "feedback", "phase": "generating_feedback"}])
    try:
        return Completed(data=await rating.run(), usage=run.usage())
    except EngineError:
        raise
    except AntiphonError as error:
        failure = _failure(rating, error)
        cause = _cause(error)
        return Failed(
            code=cause.code,
            message=failure.message,
            phase=run.view.phase,
            data=failure.as_json(),
            usage=run.usage(),
            retry_after_s=cause.retry_after_s,
        )


async def _rate_with_several(run: Run, command: RaterBatchCommand) -> Completed:
    ratings = [
        Rating(
            run,
            command,
            Part(
                id=f"feedback-{index}",
                target={"raterName": name},
                phase="generating_feedback",
                index=index,
            ),
            rater_name=name,
            rater_prompt=rater.rater_prompt,
            is_alone=False,
        )
        for index, (rater, name) in enumerate(
            zip(command.raters, rater_names(command.raters), strict=True)
        )
    ]
    run.declare([rating.part.target for rating in ratings])
    outcomes = await fan_out([_member(run, rating) for rating in ratings])
    results: list[JSON] = []
    failed: list[JSON] = []
    for outcome in outcomes:
        match outcome:
            case Done(value=value):
                if isinstance(value, _Failure):
                    failed.append(value.as_json())
                else:
                    results.append(value)
            case Lost(error=error):  # not a rater's failure but ours: it ends the session
                raise error
            case Dropped():
                raise AssertionError("a group that waits for all drops nobody")
    return Completed(data={"results": results, "failed": failed}, usage=run.usage())


def _member(run: Run, rating: Rating) -> Member[JSON | _Failure]:
    """Make a rater a member of the group; its failure is a value, so that it ends nobody else."""

    async def rate(_attempt: int) -> JSON | _Failure:
        earlier = run.view.parts.get(rating.part.id)
        if earlier is not None and earlier.failed is not None:
            return _Failure(
                rating.rater_name,
                earlier.failed.data.get("error_code", "GENERATION_FAILED"),
                earlier.failed.message,
            )
        if earlier is not None and earlier.state == "cancelled":
            return _cancelled(rating)
        try:
            return await rating.run()
        except EngineError:
            raise
        except PartCut:
            return _cancelled(rating)
        except AntiphonError as error:
            failure = _failure(rating, error)
            await run.emit(
                PartFailed(
                    part=rating.part,
                    code=_cause(error).code,
                    message=failure.message,
                    data=failure.as_json(),
                )
            )
            return failure

    return Member(rating.part.id, rate)


def _cause(error: AntiphonError) -> AntiphonError:
    return error.error if isinstance(error, PartLost) else error


def _failure(rating: Rating, error: AntiphonError) -> _Failure:
    code = error_code(_cause(error), rating.step)
    return _Failure(rating.rater_name, code, message_for(_cause(error), code))


def _cancelled(rating: Rating) -> _Failure:
    return _Failure(rating.rater_name, "CANCELLED", f"{rating.rater_name} was cancelled")
