from collections import Counter

from rlp.bench import launches

# One update: a product, what is fused, a branch, a loop of three turns, a copy, and more.
GPU = """\
HloModule jit_train, entry_computation_layout={(f32[4]{0})->f32[4]{0}}

%fused_add (p.0: f32[4]) -> f32[4] {
  %p.0 = f32[4]{0} parameter(0)
  ROOT %add.1 = f32[4]{0} add(%p.0, %p.0)
}

%gemm_fusion_dot.1_computation (p.1: f32[4]) -> f32[4] {
  %p.1 = f32[4]{0} parameter(0)
  ROOT %dot.1 = f32[4]{0} dot(%p.1, %p.1), lhs_contracting_dims={0}
}

%outer_gemm (p.9: f32[4]) -> f32[4] {
  %p.9 = f32[4]{0} parameter(0)
  ROOT %inner = f32[4]{0} fusion(%p.9), kind=kCustom, calls=%gemm_fusion_dot.1_computation
}

%small_branch (p.2: (f32[4])) -> (f32[4]) {
  %p.2 = (f32[4]{0}) parameter(0)
  %get.0 = f32[4]{0} get-tuple-element(%p.2), index=0
  %copy.7 = f32[4]{0} copy(%get.0)
  ROOT %tuple.2 = (f32[4]{0}) tuple(%copy.7)
}

%large_branch (p.3: (f32[4])) -> (f32[4]) {
  %p.3 = (f32[4]{0}) parameter(0)
  %get.1 = f32[4]{0} get-tuple-element(%p.3), index=0
  %fusion.3 = f32[4]{0} fusion(%get.1), kind=kLoop, calls=%fused_add
  %fusion.4 = f32[4]{0} fusion(%fusion.3), kind=kLoop, calls=%fused_add
  ROOT %tuple.3 = (f32[4]{0}) tuple(%fusion.4)
}

%turn (p.4: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p.4 = (s32[], f32[4]{0}) parameter(0)
  %get.2 = f32[4]{0} get-tuple-element(%p.4), index=1
  %fusion.5 = f32[4]{0} fusion(%get.2), kind=kLoop, calls=%fused_add
  ROOT %tuple.4 = (s32[], f32[4]{0}) tuple(%get.2, %fusion.5)
}

%condition (p.5: (s32[], f32[4])) -> pred[] {
  %p.5 = (s32[], f32[4]{0}) parameter(0)
  ROOT %less = pred[] constant(true)
}

%update (p.6: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p.6 = (s32[], f32[4]{0}) parameter(0)
  %get.3 = f32[4]{0} get-tuple-element(%p.6), index=1
  %bitcast.1 = f32[2,2]{1,0} bitcast(%get.3)
  %gemm.1 = f32[4]{0} fusion(%get.3), kind=kCustom, calls=%outer_gemm, metadata={op_name="a (b)"}
  %cond.1 = (f32[4]{0}) conditional(%get.3, %gemm.1), true_computation=%small_branch, false_computation=%large_branch
  %while.2 = (s32[], f32[4]{0}) while(%p.6), condition=%condition, body=%turn, backend_config={"known_trip_count":{"n":"3"}}
  %copy.1 = f32[4]{0} copy(%gemm.1)
  %product.2 = (f32[4]{0}, s8[64]{0}) custom-call(%copy.1), custom_call_target="__cublas$gemm"
  %sort.1 = f32[4]{0} sort(%copy.1), to_apply=%condition
  ROOT %tuple.6 = (s32[], f32[4]{0}) tuple(%get.3, %sort.1)
}

ENTRY %main.1 (p.7: f32[4]) -> f32[4] {
  %p.7 = f32[4]{0} parameter(0)
  %fusion.9 = f32[4]{0} fusion(%p.7), kind=kLoop, calls=%fused_add
  %small.1 = (s32[], f32[4]{0}) while(%p.7), condition=%condition, body=%turn
  %while.1 = (s32[], f32[4]{0}) while(%fusion.9), condition=%condition, body=%update, backend_config={"known_trip_count":{"n":"1000"}}
  ROOT %get.9 = f32[4]{0} get-tuple-element(%while.1), index=1
}
"""  # noqa: E501 - as XLA writes it

TPU = """\
%branch_a (p.0: f32[8,128]) -> f32[8,128] {
  %p.0 = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %negate.1 = f32[8,128]{1,0:T(8,128)(2,1)S(1)} negate(%p.0)
}

%branch_b (p.1: f32[8,128]) -> f32[8,128] {
  ROOT %p.1 = f32[8,128]{1,0:T(8,128)} parameter(0)
}

%body (p.2: (f32[8,128], /*index=1*/s32[])) -> (f32[8,128], s32[]) {
  %p.2 = (f32[8,128]{1,0:T(8,128)}, /*index=1*/s32[]{:T(128)}) parameter(0)
  %get.1 = f32[8,128]{1,0:T(8,128)} get-tuple-element(%p.2), index=0
  %copy-start.1 = (f32[8,128]{1,0:T(8,128)S(1)}, f32[8,128]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%get.1)
  %copy-done.1 = f32[8,128]{1,0:T(8,128)S(1)} copy-done(%copy-start.1)
  %cond.1 = f32[8,128]{1,0:T(8,128)} conditional(%get.1, %get.1, /*index=2*/%get.1), branch_computations={%branch_a, %branch_b}
  %all-reduce-start.1 = f32[8,128]{1,0:T(8,128)} all-reduce-start(%cond.1), to_apply=%branch_a
  %all-reduce-done.1 = f32[8,128]{1,0:T(8,128)} all-reduce-done(%all-reduce-start.1)
  ROOT %tuple.1 = (f32[8,128]{1,0:T(8,128)}, s32[]{:T(128)}) tuple(%all-reduce-done.1, %get.1)
}

ENTRY %main (p.3: (f32[8,128], s32[])) -> (f32[8,128], s32[]) {
  %p.3 = (f32[8,128]{1,0:T(8,128)}, s32[]{:T(128)}) parameter(0)
  ROOT %while.1 = (f32[8,128]{1,0:T(8,128)}, s32[]{:T(128)}) while(%p.3), condition=%branch_b, body=%body
}
"""  # noqa: E501 - as XLA writes it

# A row is gathered from a table, and set in a log: neither is moved as a whole.
MOVED = """\
%fused_gather (table: f32[1000,8], row: s32[1]) -> f32[1,8] {
  %table = f32[1000,8]{1,0} parameter(0)
  %row = s32[1]{0} parameter(1)
  %bitcast.1 = f32[1000,8]{1,0} bitcast(%table)
  ROOT %gather.1 = f32[1,8]{1,0} gather(%bitcast.1, %row), slice_sizes={1,8}
}

%fused_update (log: f32[1000,8], new: f32[1,8], at: s32[]) -> (f32[1000,8], bf16[1,8]) {
  %log = f32[1000,8]{1,0} parameter(0)
  %new = f32[1,8]{1,0} parameter(1)
  %at = s32[] parameter(2)
  %dynamic-update-slice.1 = f32[1000,8]{1,0} dynamic-update-slice(%log, %new, %at, %at)
  %convert.1 = bf16[1,8]{1,0} convert(%new)
  ROOT %tuple.1 = (f32[1000,8]{1,0}, bf16[1,8]{1,0}) tuple(%dynamic-update-slice.1, %convert.1)
}

%body (p.1: (f32[1000,8], f32[1000,8], s32[1], s32[])) -> (f32[1000,8], f32[1000,8], s32[1], s32[]) {
  %p.1 = (f32[1000,8]{1,0}, f32[1000,8]{1,0}, s32[1]{0}, s32[]) parameter(0)
  %get.1 = f32[1000,8]{1,0} get-tuple-element(%p.1), index=0
  %get.2 = s32[1]{0} get-tuple-element(%p.1), index=2
  %get.3 = s32[] get-tuple-element(%p.1), index=3
  %gather_fusion = f32[1,8]{1,0} fusion(%get.1, %get.2), kind=kLoop, calls=%fused_gather
  %update_fusion = (f32[1000,8]{1,0}, bf16[1,8]{1,0}) fusion(%get.1, %gather_fusion, %get.3), kind=kLoop, calls=%fused_update
  ROOT %tuple.2 = (f32[1000,8]{1,0}, f32[1000,8]{1,0}, s32[1]{0}, s32[]) tuple(%get.1, %get.1, %get.2, %get.3)
}

ENTRY %main (p.2: (f32[1000,8], f32[1000,8], s32[1], s32[])) -> (f32[1000,8], f32[1000,8], s32[1], s32[]) {
  %p.2 = (f32[1000,8]{1,0}, f32[1000,8]{1,0}, s32[1]{0}, s32[]) parameter(0)
  ROOT %while.1 = (f32[1000,8]{1,0}, f32[1000,8]{1,0}, s32[1]{0}, s32[]) while(%p.2), condition=%body, body=%body
}
"""  # noqa: E501 - as XLA writes it


def kinds(text: str) -> Counter[str]:
    counts = launches.of_update(text)
    return Counter({kind: counts[kind] for kind in launches.KINDS})


def test_an_update_on_a_gpu():
    """The larger branch counts, a loop as often as it runs, and of loops the one that does most."""
    assert kinds(GPU) == Counter(gemms=2, conditionals=1, fusions=2 + 3, copies=1, others=1)
    assert launches.number(launches.of_update(GPU)) == 10


def test_an_update_on_a_tpu():
    """What was started is counted once, whatever brackets the layouts have."""
    assert kinds(TPU) == Counter(copies=1, conditionals=1, others=1, collectives=1)


def test_bytes_of_slices_are_those_that_are_moved():
    row = 4 * 8
    gathered = row + 4 + row  # the row, its number, and written
    updated = row + 4 + row + 2 * 8  # the new row, its number, and both results
    assert launches.of_update(MOVED)["bytes"] == gathered + updated


def test_a_program_without_a_loop():
    assert not launches.of_update("ENTRY %main () -> f32[] {\n  ROOT %c = f32[] constant(0)\n}\n")
