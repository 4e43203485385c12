from pathlib import Path

from rlp.bench import graphs

DUMP = """\
000: kCommandBuffer [source       | next=003 (1)]
    001: kCopy         [source       | sink        ] kCopy
    002: kCustomKernel [source       | sink        ] loop_add_fusion grid: [1, 1, 1]
003: kWhile         [prev=000 (1) | next=000 (1)]
condition:
    004: kCustomKernel [source | sink] loop_compare_fusion grid: [1, 1, 1]
  body:
    000: kCommandBuffer      [source       | next=027 (1)]
        005: kCustomKernel [source       | sink        ] gemm_fusion_dot grid: [1, 1, 1]
        006: kCopy         [source       | sink        ] kCopy
    007: kDynamicSliceFusion [prev=000 (1) | next=029 (1)] params=1, results=1
        008: kCopy [source | sink] kCopy
    011: kConditional        [prev=000 (1) | next=000 (1)]
      false_branch:
        000: kCommandBuffer [source | sink]
            009: kCustomKernel [source       | sink         ] loop_add_fusion grid: [1, 1, 1]
      true_branch:
        010: kCopy [source | sink] kCopy
    000: kCommandBuffer      [prev=133 (1) | sink        ]
        012: kCopy [source | sink] kCopy
013: kCustomKernel  [prev=003 (1) | sink         ] loop_minimum_fusion grid: [1, 1, 1]
"""


def test_what_the_host_launches_in_an_update(tmp_path: Path):
    (tmp_path / "module_0001.jit_train.thunk_sequence_after_thunk_passes.txt").write_text(DUMP)
    found = graphs.of_update(tmp_path)
    assert found == {"kCommandBuffer": 2, "kDynamicSliceFusion": 1, "kConditional": 1}


def test_nothing_is_known_where_nothing_was_written(tmp_path: Path):
    assert not graphs.of_update(tmp_path)
