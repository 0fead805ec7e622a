// Submits a song by the client that openapi-generator makes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	songmill "generators/songmill"
)

func demand(fits bool, what ...any) {
	if !fits {
		log.Fatalf("generators: %+v", what)
	}
}

func main() {
	configuration := songmill.NewConfiguration()
	configuration.Servers = songmill.ServerConfigurations{{URL: os.Getenv("SERVER")}}
	client := songmill.NewAPIClient(configuration)
	ctx := context.WithValue(context.Background(), songmill.ContextAccessToken, os.Getenv("KEY"))

	vendor := "replicate"
	song := songmill.NewSongRequest()
	song.SetVendor(songmill.VendorChoice{String: &vendor})
	song.SetPrompt("a calm piano")
	song.SetDurationS(4)
	song.SetTitle("by openapi-generator")
	job, _, err := client.JobsAPI.JobsCreate(ctx).Batch("go").IdempotencyKey("go").SongRequest(*song).Execute()
	demand(err == nil, err)
	demand(job.GetState() != "", job)
	again, _, err := client.JobsAPI.JobsCreate(ctx).Batch("go").IdempotencyKey("go").SongRequest(*song).Execute()
	demand(err == nil && again.GetId() == job.GetId(), again, err)

	shown, _, err := client.JobsAPI.JobsGet(ctx, job.GetId()).Execute()
	demand(err == nil && shown.Request.GetTitle() == song.GetTitle(), shown, err)
	listed, _, err := client.JobsAPI.JobsList(ctx).Batch("go").Execute()
	demand(err == nil && len(listed.GetData()) == 1, listed, err)
	lines, _, err := client.BatchesAPI.BatchesResults(ctx, "go").Execute()
	demand(err == nil && strings.Contains(lines, job.GetId()), lines, err)

	nobody := "nobody"
	song.SetVendor(songmill.VendorChoice{String: &nobody})
	_, _, err = client.JobsAPI.JobsCreate(ctx).SongRequest(*song).Execute()
	refused, isOurs := err.(*songmill.GenericOpenAPIError)
	demand(isOurs, err)
	problem, isProblem := refused.Model().(songmill.Problem)
	demand(isProblem && problem.Code == "invalid" && problem.Errors[0].Pointer == "/vendor", refused)
	fmt.Println("generators: openapi-generator (go) submitted", job.GetId())
}
