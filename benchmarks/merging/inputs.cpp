// The files that the benchmarks merge. Compiled by ROOT's interpreter (see inputs.py); each file depends on its number
// alone, so that a folder that was made in part can be finished, and two machines make the same numbers.

#include <memory>
#include <string>
#include <vector>

#include <ROOT/RNTupleModel.hxx>
#include <ROOT/RNTupleWriteOptions.hxx>
#include <ROOT/RNTupleWriter.hxx>
#include <TDirectory.h>
#include <TFile.h>
#include <TH1D.h>
#include <TRandom3.h>
#include <TTree.h>

namespace septum_benchmarks {

/// As an analysis books them: folders are cuts, histograms are variables, some fall and some have a peak.
void write_histograms(const char *path, unsigned number, int compression, int folders, int histograms, int fills)
{
   TFile file(path, "RECREATE", "", compression);
   TRandom3 random(number + 1);
   for (int cut = 0; cut < folders; ++cut) {
      TDirectory *folder = file.mkdir(TString::Format("cut%02d", cut));
      for (int variable = 0; variable < histograms; ++variable) {
         TH1D histogram(TString::Format("variable%02d", variable), "number of events;x;events", 100, 0., 1.);
         histogram.SetDirectory(nullptr);
         histogram.Sumw2();
         for (int fill = 0; fill < fills; ++fill) {
            const double x = variable % 2 ? random.Gaus(0.5, 0.15) : random.Exp(0.25);
            histogram.Fill(x, 1. + 0.2 * random.Gaus());
         }
         folder->WriteTObject(&histogram);
      }
   }
   file.Close();
}

void write_tree(const char *path, unsigned number, int compression, int rows, int columns)
{
   TFile file(path, "RECREATE", "", compression);
   TRandom3 random(number + 1);
   TTree tree("events", "events");
   std::vector<float> values(columns);
   for (int column = 0; column < columns; ++column)
      tree.Branch(TString::Format("x%d", column), &values[column]);
   for (int row = 0; row < rows; ++row) {
      for (auto &value : values)
         value = random.Gaus();
      tree.Fill();
   }
   tree.Write();
   file.Close();
}

void write_ntuple(const char *path, unsigned number, int compression, int rows, int columns)
{
   TRandom3 random(number + 1);
   auto model = ROOT::RNTupleModel::Create();
   std::vector<std::shared_ptr<float>> values;
   for (int column = 0; column < columns; ++column)
      values.push_back(model->MakeField<float>("x" + std::to_string(column)));
   ROOT::RNTupleWriteOptions options;
   options.SetCompression(compression);
   auto writer = ROOT::RNTupleWriter::Recreate(std::move(model), "events", path, options);
   for (int row = 0; row < rows; ++row) {
      for (auto &value : values)
         *value = random.Gaus();
      writer->Fill();
   }
}

} // namespace septum_benchmarks
